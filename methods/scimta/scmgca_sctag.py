"""scMGCA and scTAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .graph_autoencoder import GraphAutoencoder
from .params import PUBLISHED, ScTAGParams, SurfingParameters

if TYPE_CHECKING:
    from .graph_fit import GraphFit


class ScMGCA(GraphAutoencoder):
    """Graph autoencoder of surfed neighbours (Yu et al. 2023); scIMTA's public code is the same.

    Random surfing connects neighbours also over short random walks, which may return to the start.
    The code of a cell, from graph convolutions, reconstructs this graph and the counts; then
    clusters train themselves. Above ``minibatch_above`` cells a step has random parts of the
    graph. As published the number of clusters is that of the true types, unless ``k_from`` or
    ``n_clusters`` is set. ``bench fit --graph`` puts a graph of your own in the place of the
    neighbours.

    A code comes from the graph of all cells, so there is none for new cells. Fit them together
    with the others, or give them the labels of their nearest neighbours (``bench transform``).

    The default differs from the publication, which ``preset=faithful`` restores. Counts are
    multinomial; the published loss takes logarithms of proportions times z-scores, negative ones
    included. Edges and other pairs have equal weight; the published squared error settles at the
    all-zero graph. Neighbours are symmetric, surfer steps are probabilities, and rows without
    weight cannot become NaN. The divergence is KL(P‖Q) instead of its reverse. Centres are
    trained. The count decoder is smaller and starts at the gene means. Training takes larger and
    fewer steps and ends when labels hardly change. The number of genes is 1,000, not 500. Cells
    are scaled to 10,000 counts instead of the median total, z-scores have a bound of 10.

    The preset keeps these corrections. First clusters do not depend on a list of dataset names;
    k-means has 10 starts instead of 20. Seeds are used. Labels are those of the last codes, not of
    up to nine updates before. Genes are ranked on counts scaled to the mean total, counts are not
    rounded up, cells without counts stay. The program's dropout was never active; here it is
    ``input_dropout``. Its settings for batches and for a million cells are no part of the preset.
    """

    name = "scmgca"
    summary = "graph autoencoder of surfed neighbours, self-trained clusters"
    reference = "Yu et al. 2023, Nature Communications 14:400, doi 10.1038/s41467-023-36134-7"

    class Params(SurfingParameters):
        """Parameters of scMGCA."""

        presets: ClassVar = {**SurfingParameters.presets, "faithful": PUBLISHED}

    params: Params

    def new_fit(self) -> GraphFit:
        from .graph_fit import SurfedFit

        return SurfedFit(self.params, self.name)


class ScTAG(GraphAutoencoder):
    """Graph autoencoder with topology-adaptive convolutions and ZINB counts (Yu et al. 2022).

    As :class:`ScMGCA`, but the graph is that of the nearest neighbours themselves, convolutions
    reach ``conv_hops`` steps, and the counts follow a zero-inflated negative binomial with the
    cell's depth in its mean. There is no code for new cells either.

    The default has the published graph and target: directed neighbours with self-edges, and
    z-scores, of which negative ones count as 0. Of four settings these were the best on 500 cells
    each of zeisel_200genes, mouse_bladder_2100, kang_ifnb and three simulations with one dominant
    type. Otherwise it differs from the publication as that of :class:`ScMGCA` does;
    ``preset=faithful`` restores it. Further differences: the published library applies every power
    of the graph to the inputs alone, so that its three hops are one (``conv_hops`` 1); the first
    clusters are spectral. The published term on distances between codes has weight zero and is
    left out.
    """

    name = "sctag"
    summary = "graph autoencoder with topology-adaptive convolutions and ZINB counts"
    reference = "Yu et al. 2022, Proceedings of AAAI 36:4671, doi 10.1609/aaai.v36i4.20392"

    class Params(ScTAGParams):
        """Parameters of scTAG."""

    params: Params

    def new_fit(self) -> GraphFit:
        from .graph_fit import NeighborFit

        return NeighborFit(self.params, self.name)
