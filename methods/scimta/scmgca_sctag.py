"""scMGCA and scTAG as methods of the harness."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .graph_autoencoder import GraphAutoencoder
from .params import PUBLISHED, ScTAGParams, SurfingParameters

if TYPE_CHECKING:
    from .graph_fit import GraphFit


class ScMGCA(GraphAutoencoder):
    """Graph autoencoder of surfed neighbours (Yu et al. 2023); scIMTA's public code is the same.

    The code of a cell, from graph convolutions, reconstructs the graph and the cell's counts; its
    clusters then train themselves. A training step has all cells, or above ``minibatch_above``
    parts of the graph merged at random. As in the publication the number of clusters is that of
    the true types, unless ``k_from`` or ``n_clusters`` is set.

    Differences of the default from the publication, which ``preset=faithful`` restores: counts are
    multinomial (published: logarithms of proportions times z-scores, negative ones included).
    Edges and other pairs have equal weight in the adjacency loss; the published squared error
    settles at the all-zero graph. Neighbours are symmetric, steps of the surfer are probabilities,
    and rows without weight cannot become NaN. KL(P‖Q) instead of its reverse, trained centres, a
    count decoder that starts at the gene means, an end when labels hardly change, labels of the
    last codes instead of up to nine updates before. Larger steps and fewer of them, 1,000 genes, a
    smaller decoder.

    Corrected in both: the first clusters do not depend on a list of names of datasets, and seeds
    are used. The published dropout, declared but never active, is ``input_dropout``.
    """

    name = "scmgca"
    summary = "graph autoencoder of surfed neighbours, self-trained clusters"
    reference = "Yu et al. 2023, Nature Communications 14:400, doi 10.1038/s41467-023-36134-7"

    class Params(SurfingParameters):
        """Parameters of scMGCA."""

        presets: ClassVar = {**SurfingParameters.presets, "faithful": PUBLISHED}

    params: Params

    def new_fit(self) -> GraphFit:
        """Return an unfitted model of surfed neighbours."""
        from .graph_fit import SurfedFit

        return SurfedFit(self.params, self.name)


class ScTAG(GraphAutoencoder):
    """Graph autoencoder with topology-adaptive convolutions and ZINB counts (Yu et al. 2022).

    As :class:`ScMGCA`, but the graph is that of the nearest neighbours themselves, convolutions
    reach ``conv_hops`` steps, and the counts follow a zero-inflated negative binomial with the
    cell's depth in its mean.

    The default differs from the publication as described there; ``preset=faithful`` restores it.
    Further differences: the published library applies every power of the graph to the inputs
    alone, so that its three hops are one (``conv_hops`` 1); the targets are z-scores, negative
    ones as zeros; the first clusters are spectral. The published term on distances between codes
    has weight zero and is left out.
    """

    name = "sctag"
    summary = "graph autoencoder with topology-adaptive convolutions and ZINB counts"
    reference = "Yu et al. 2022, Proceedings of AAAI 36:4671, doi 10.1609/aaai.v36i4.20392"

    class Params(ScTAGParams):
        """Parameters of scTAG."""

    params: Params

    def new_fit(self) -> GraphFit:
        """Return an unfitted model of nearest neighbours."""
        from .graph_fit import NeighborFit

        return NeighborFit(self.params, self.name)
