"""Parameters of scCrossRec."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from bench.contract import Parameters, Search


class ScCrossRecParameters(Parameters):
    """Features, graph, links, network and training."""

    n_top_genes: int = Field(3000, ge=10, description="number of variable genes")
    n_top_peaks: int = Field(30_000, ge=10, description="number of variable peaks")
    normalize: bool = Field(
        True, description="logarithms and binary peaks, or counts as published"
    )
    mask_mode: Literal["multiply", "neg_inf", "distance_kb"] = Field(
        "distance_kb",
        description="pairs that attend: near the TSS, on one chromosome, or all as published",
    )
    distance_kb: Annotated[int, Search(100, 1000, log=True)] = Field(
        250, ge=1, le=100_000, description="largest distance of a peak from the gene's TSS"
    )
    links: Literal["evidence", "none"] = Field(
        "evidence", description="evidence: learn gates of pairs from expression that peaks explain"
    )
    link_passes: Annotated[int, Search(5, 100, log=True)] = Field(
        40, ge=0, le=1000, description="passes over the cells that learn the gates"
    )
    n_states: Annotated[int, Search(4, 64, log=True)] = Field(
        16, ge=2, le=64, description="states of the largest mixture (links=evidence)"
    )
    embedding: Literal["states", "pools"] = Field(
        "states", description="place among and within the states, or network pools as published"
    )
    attn_norm: Literal["faithful_sigmoid", "scaled_softmax"] = Field(
        "scaled_softmax", description="how the top_k scores of a gene become weights"
    )
    top_k: Annotated[int, Search(5, 50, log=True)] = Field(
        10, ge=1, le=1000, description="peaks that a gene attends to in a cell"
    )
    edge_threshold: float = Field(
        0.8, ge=0.5, lt=1, description="faithful_sigmoid: weights at or below become 0"
    )
    on_count_threshold: float = Field(
        9.0, ge=0, description="links=none: more peaks above edge_threshold mean an active gene"
    )
    id_dim: Annotated[int, Search(32, 512, log=True)] = Field(
        64, ge=1, le=4096, description="width of the embedding of each gene and peak"
    )
    id_start: Literal["svd", "normal"] = Field(
        "svd", description="first embeddings: loadings of the training data, or N(0, 1)"
    )
    hidden: Annotated[int, Search(32, 256, log=True)] = Field(
        128, ge=1, le=4096, description="width of queries, keys, values and of each pool"
    )
    dna: Literal["auto", "none", "required"] = Field(
        "auto", description="sequence of the peaks: used if known, never used, or required"
    )
    dna_encoder: Literal["conv", "ordinal256"] = Field(
        "conv", description="convolution, or a number for each of 256 bases as published"
    )
    dropout: Annotated[float, Search(0.05, 0.5, zero=True)] = Field(
        0.1, ge=0, lt=1, description="dropout of the matching head"
    )
    alpha_translation: float = Field(
        1.0, ge=0, description="links=none: weight of the translation loss; 0: no translation"
    )
    translation_target: Literal["binary", "raw"] = Field(
        "binary", description="links=none: detection, or expression as stored"
    )
    neg_mode: Literal["random_cell", "lsi_far", "label_easy", "label_hard"] = Field(
        "random_cell",
        description="ATAC cell of a wrong pair: any, far in LSI, other type, same type",
    )
    neg_ratio: Annotated[int, Search(1, 5)] = Field(
        1, ge=1, le=50, description="wrong pairs for each right one"
    )
    learning_rate: Annotated[float, Search(1e-5, 2e-3, log=True)] = Field(
        1e-4, gt=0, le=1, description="step size of Adam"
    )
    weight_decay: Annotated[float, Search(1e-6, 1e-4, log=True, zero=True)] = Field(
        1e-5, ge=0, description="L2 penalty; not on embeddings with sparse gradients"
    )
    sparse_gradients: bool = Field(
        True, description="only embeddings that occur in a step are updated (SparseAdam)"
    )
    accumulate: Annotated[int, Search(1, 32, log=True)] = Field(
        8, ge=1, le=1024, description="graphs, that is pairs of cells, per update"
    )
    max_epochs: Annotated[int, Search(3, 99, log=True)] = Field(
        10, ge=0, description="passes of the network over the cells of an epoch"
    )
    epoch_cells: int = Field(300, ge=2, description="cells of an epoch, at most; drawn at random")
    patience: int = Field(
        3, ge=0, description="epochs without a better held-out score; 0: never stop"
    )
    validation: float = Field(
        0.1, ge=0, le=0.5, description="share of cells held out to choose the epoch and calibrate"
    )

    presets: ClassVar = {
        "quick": {"id_dim": 32, "hidden": 32, "max_epochs": 3, "link_passes": 20},
        "faithful": {
            # No caps: more than any genome has.
            "n_top_genes": 1_000_000,
            "n_top_peaks": 10_000_000,
            "normalize": False,
            "mask_mode": "multiply",
            "links": "none",
            "embedding": "pools",
            "attn_norm": "faithful_sigmoid",
            "id_dim": 256,
            "id_start": "normal",
            "dna_encoder": "ordinal256",
            "translation_target": "raw",
            "learning_rate": 5e-4,
            "sparse_gradients": False,
            "accumulate": 1,
            "max_epochs": 99,
            "epoch_cells": 1_000_000,
            "patience": 5,
        },
    }

    @property
    def translates(self) -> bool:
        """Whether the network has a translation loss."""
        return self.links == "none" and self.alpha_translation > 0

    @property
    def sparse(self) -> bool:
        """Whether embeddings have sparse gradients; the published translation needs all."""
        return self.sparse_gradients and not self.translates

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.attn_norm == "scaled_softmax" and self.mask_mode == "multiply":
            raise ValueError(
                "mask_mode=multiply needs attn_norm=faithful_sigmoid, which alone removes the "
                "weight of other chromosomes; use neg_inf or distance_kb"
            )
        if self.links == "evidence" and self.mask_mode == "multiply":
            raise ValueError(
                "mask_mode=multiply has no candidate pairs for links=evidence; use neg_inf or "
                "distance_kb, or links=none"
            )
        return self
