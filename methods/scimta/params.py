"""Parameters of scIMTA, scMGCA and scTAG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from bench.contract import Layers, Search

from ..nn.params import ClusterParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_IMPUTED = (("denoiser", ("alra", "deep")),)
_BY_RANK = (("denoiser", ("alra",)),)
_DEEP = (("denoiser", ("deep",)),)


class GraphParameters(ClusterParameters):
    """Graph, network, losses and training of a graph autoencoder."""

    n_top_genes: Annotated[int, Search(300, 3000, log=True)] = Field(
        1000, ge=10, le=10_000, description="number of variable genes"
    )
    n_neighbors: Annotated[int, Search(5, 30)] = Field(
        15, ge=2, description="neighbours of a cell in the graph, itself included"
    )
    metric: Annotated[
        Literal["euclidean", "cosine", "correlation"],
        Search(choices=("euclidean", "cosine", "correlation")),
    ] = Field("euclidean", description="distance between cells")
    n_components: Annotated[int, Search(20, 100, log=True)] = Field(
        50, ge=0, description="principal components in which neighbours are found; 0: genes"
    )
    batches: Literal["ignored", "scaled", "corrected"] = Field(
        "ignored",
        description="scaled: genes and z-scores by batch; corrected: also graph and decoder",
    )
    published_graph: bool = Field(
        False, description="directed neighbours with self-edges, as in the published program"
    )
    n_latent: Annotated[int, Search(8, 32, log=True)] = Field(
        15, ge=1, le=1024, description="dimensions of the code, which is the embedding"
    )
    hidden: Annotated[Layers, Search(choices=("", "128", "256-128"))] = Field(
        (128,), description="widths of the encoder's hidden graph convolutions"
    )
    decoder_hidden: Annotated[Layers, Search(choices=("128", "128-256", "128-256-512"))] = Field(
        (128,), description="widths of the count decoder's hidden layers"
    )
    n_adjacency: Annotated[int, Search(16, 64, log=True)] = Field(
        32, ge=1, le=1024, description="units of the adjacency decoder"
    )
    input_dropout: Annotated[float, Search(0.05, 0.4, zero=True)] = Field(
        0.0, ge=0, lt=1, description="share of inputs set to zero while training"
    )
    graph_loss: Literal["balanced", "mse"] = Field(
        "balanced", description="equal weight of edges and other pairs, or mse as published"
    )
    expression_target: Literal["counts", "scores"] = Field(
        "counts", description="target of the count decoder; z-scores as published"
    )
    adjacency_weight: Annotated[float, Search(0.1, 1.0)] = Field(
        0.3, ge=0, description="weight of the adjacency decoder's loss"
    )
    expression_weight: Annotated[float, Search(0.5, 3.0)] = Field(
        1.0, ge=0, description="weight of the count decoder's loss"
    )
    cluster_weight: Annotated[float, Search(0.1, 3.0, log=True)] = Field(
        1.5, ge=0, description="weight of the divergence between q and its target"
    )
    kl_direction: Literal["pq", "qp"] = Field(
        "pq", description="KL(P‖Q) as in deep embedded clustering, or KL(Q‖P) as published"
    )
    train_centres: bool = Field(True, description="train the cluster centres too")
    start: Literal["kmeans", "spectral"] = Field(
        "kmeans", description="first clusters: of the codes, or of the graph's spectrum"
    )
    pretrain_epochs: Annotated[int, Search(50, 1000, log=True)] = Field(
        200, ge=0, description="passes over the cells, or 25,000 of them, before clustering"
    )
    learning_rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(
        1e-3, gt=0, le=1, description="step size of Adam before clustering"
    )
    max_epochs: Annotated[int, Search(50, 500, log=True)] = Field(
        100, ge=0, description="most passes, or 25,000 cells each, while clusters train"
    )
    cluster_learning_rate: Annotated[float, Search(1e-5, 1e-2, log=True)] = Field(
        1e-3, gt=0, le=1, description="step size of Adam while clusters train"
    )
    update_interval: Annotated[int, Search(1, 20)] = Field(
        10, ge=1, description="passes between new cluster targets; 1 above minibatch_above"
    )
    tolerance: float = Field(
        1e-3,
        ge=0,
        le=1,
        description="self-training ends below this share of changed labels; 0: never",
    )

    minibatch_above: int = Field(
        25_000, ge=1, description="cells above which a step has parts of the graph"
    )
    batch_cells: int = Field(
        2000, ge=50, le=100_000, description="approximate number of cells of a step with parts"
    )
    merged_parts: int = Field(
        5, ge=1, le=100, description="parts of the graph that are merged at random for a step"
    )
    held_out: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="share of counts held out for a search without labels; three fits",
    )
    keep_graphs: bool = Field(False, description="also return the graphs, as lists of edges")

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"pretrain_epochs": 100, "max_epochs": 50}
    }


class SurfingParameters(GraphParameters):
    """Parameters of the random surfer."""

    hops: Annotated[int, Search(1, 3)] = Field(
        2, ge=1, le=4, description="steps of the random surfer"
    )
    alpha: Annotated[float, Search(0.5, 0.99)] = Field(
        0.98, gt=0, le=1, description="chance that the surfer goes on instead of back to the start"
    )


PUBLISHED = {
    "n_top_genes": 500,
    "published_graph": True,
    "decoder_hidden": "128-256-512",
    "graph_loss": "mse",
    "expression_target": "scores",
    "kl_direction": "qp",
    "train_centres": False,
    "pretrain_epochs": 1000,
    "learning_rate": 1e-4,
    "max_epochs": 300,
    "cluster_learning_rate": 5e-4,
    "tolerance": 0.0,
}
"""Values that the published programs of scMGCA and scTAG share."""


class ScTAGParams(GraphParameters):
    """Parameters of scTAG; its graph and its target are the published ones."""

    published_graph: bool = Field(
        True, description="directed neighbours with self-edges, as in the published program"
    )
    expression_target: Literal["counts", "scores"] = Field(
        "scores", description="target of the count decoder; z-scores as published"
    )
    conv_hops: Annotated[int, Search(1, 3)] = Field(
        3, ge=1, le=5, description="powers of the graph in a convolution"
    )
    presets: ClassVar = {
        **GraphParameters.presets,
        "faithful": PUBLISHED | {"conv_hops": 1, "start": "spectral", "update_interval": 8},
    }


class ScIMTAParams(SurfingParameters):
    """Parameters of scIMTA; its target is the published one."""

    expression_target: Literal["counts", "scores"] = Field(
        "scores", description="target of the count decoder; z-scores as published"
    )
    gamma: Annotated[float, Search(0.05, 0.9)] = Field(
        0.25, ge=0, le=1, description="weight of the graphs; the counts have 1 - gamma"
    )
    cluster_weight: Annotated[float, Search(0.1, 3.0, log=True)] = Field(
        0.5, ge=0, description="weight of the divergence of the cells' clusters"
    )
    community_weight: Annotated[float, Search(0.05, 2.0, log=True, zero=True)] = Field(
        0.5, ge=0, description="weight of the divergence of the genes' communities"
    )
    couple_genes: bool = Field(
        True, description="products of the codes of cells and genes explain the counts too"
    )
    gene_neighbors: Annotated[int, Search(5, 30)] = Field(
        10, ge=1, description="most edges of a gene, those of strongest correlation"
    )
    gene_power: Annotated[float, Search(4, 12)] = Field(
        6.0, gt=0, le=30, description="power of (1 + correlation) / 2, the weight of an edge"
    )
    gene_rank: Annotated[int, Search(20, 100, log=True)] = Field(
        50, ge=1, le=1000, description="most components of the residuals"
    )
    gene_resolution: Annotated[float, Search(0.3, 3.0, log=True)] = Field(
        1.0, gt=0, description="resolution of the first communities (Leiden)"
    )
    min_community: int = Field(10, ge=2, description="fewest genes of a community")
    min_membership: float = Field(
        0.1, ge=0, le=1, description="lowest correlation of a gene with its community's eigengene"
    )
    denoiser: Literal["alra", "deep", "none"] = Field(
        "alra", description="imputation by a low rank, an autoencoder, or none"
    )
    denoiser_epochs: int = Field(
        60, ge=1, le=1000, description="passes over all cells, denoiser=deep only"
    )
    beta: Annotated[float, Search(1e-3, 1.0, log=True, when=_DEEP)] = Field(
        0.1, ge=0, description="weight of the divergence of the codes, denoiser=deep only"
    )
    alra_quantile: Annotated[float, Search(1e-4, 1e-2, log=True, when=_IMPUTED)] = Field(
        1e-3, gt=0, lt=0.5, description="quantile of a gene's low-rank values, bound of its zeros"
    )
    alra_threshold: Annotated[float, Search(3.0, 8.0, when=_BY_RANK)] = Field(
        6.0, gt=0, description="size of the gap after the rank, in standard deviations"
    )
    zero_weight: Annotated[float, Search(0.01, 1.0, log=True, zero=True, when=_IMPUTED)] = Field(
        0.1, ge=0, le=1, description="weight of biological zeros in restored values"
    )
    presets: ClassVar = {
        **GraphParameters.presets,
        # The published weights 0.3, 1 and 1.5, divided by 1.3, so that the first two sum to one.
        "faithful": PUBLISHED | {"gamma": 0.3 / 1.3, "cluster_weight": 1.5 / 1.3},
    }
