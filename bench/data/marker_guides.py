"""Marker lists of a task: a selection of the dataset's lists, or a control in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from bench.contract import Markers, all_genes, keep_known_genes
from bench.errors import DataError
from bench.messages import did_you_mean, log_note
from bench.seeds import derive_seed

WINDOW = 25
"""A random gene is one of this many next genes above or below the marker in mean expression."""
SUFFIX = "~shuffled"


def normalize_name(text: str) -> str:
    """Return a name without case, spaces and punctuation."""
    return "".join(char for char in text.lower() if char.isalnum())


def select_lists(markers: Markers, names: str, where: str) -> Markers:
    """Return the marker lists named in ``names``, which are separated by ``+``.

    Raises ``DataError`` for an unknown name, or if there is none.
    """
    by_name = {normalize_name(name): name for name in reversed(markers.lists)}
    lists = {}
    for name in filter(None, (part.strip() for part in names.split("+"))):
        key = by_name.get(normalize_name(name))
        if key is None:
            raise DataError(
                f"{where}: signatures={names}: no marker list '{name}'."
                f"{did_you_mean(name, list(markers.lists))}",
                code="unknown_name",
            )
        lists[key] = markers.lists[key]
    if not lists:
        raise DataError(f"{where}: signatures={names} names no marker list.", code="missing_value")
    return replace(markers, lists=lists)


def draw_random_genes(
    adata: AnnData, markers: Markers, excluded: Mapping[str, tuple[str, ...]], seed: int
) -> Markers:
    """Return the lists with each marker replaced by a random gene of similar mean count.

    The gene is drawn from the 50 nearest in mean count. Genes of the lists ``excluded`` are never
    drawn, and no gene is drawn twice.
    """
    lists = _available_lists(adata, markers)
    means = np.asarray(adata.X.mean(axis=0)).ravel()
    names = adata.var_names.to_numpy()[np.argsort(means, kind="stable")]
    position = {name: place for place, name in enumerate(names)}
    used = set(all_genes(excluded)) | set(all_genes(lists))
    rng = np.random.default_rng(derive_seed(seed, "random genes"))
    drawn: dict[str, str] = {}
    for gene in all_genes(lists):
        near = names[max(0, position[gene] - WINDOW) : position[gene] + WINDOW + 1]
        free = [name for name in near if name not in used]
        if not free:
            raise DataError(
                f"no gene of similar expression is left to replace '{gene}'.", code="too_few_genes"
            )
        drawn[gene] = str(rng.choice(free))
        used.add(drawn[gene])
    log_note(f"guide=random: {len(drawn)} markers are replaced by genes of similar expression")
    random = {name: tuple(drawn[gene] for gene in genes) for name, genes in lists.items()}
    return Markers(random, f"random genes in place of {markers.source}")


def add_shuffled_genes(adata: AnnData, markers: Markers, seed: int) -> tuple[AnnData, Markers]:
    """Return the data with shuffled copies of the markers, and the lists of the copies.

    The copies are further features, ``GENE~shuffled``. Each cell gets the marker counts of a
    random cell, the same cell for all genes. The copies thus stay correlated with each other but
    mark no type.
    """
    lists = _available_lists(adata, markers)
    genes = list(all_genes(lists))
    values = sp.csr_matrix(adata.X)
    order = np.random.default_rng(derive_seed(seed, "shuffled genes")).permutation(adata.n_obs)
    copies = values[order][:, adata.var_names.get_indexer(genes)]
    names = [*adata.var_names, *(f"{gene}{SUFFIX}" for gene in genes)]
    extended = AnnData(
        sp.hstack([values, copies], format="csr"), obs=adata.obs, var=pd.DataFrame(index=names),
        obsm=dict(adata.obsm), uns=dict(adata.uns),
    )  # fmt: skip
    log_note(f"guide=shuffled: {len(genes)} features are added, markers with shuffled values")
    shuffled = {name: tuple(f"{gene}{SUFFIX}" for gene in genes) for name, genes in lists.items()}
    return extended, Markers(shuffled, f"shuffled values of {markers.source}")


def _available_lists(adata: AnnData, markers: Markers) -> dict[str, tuple[str, ...]]:
    """Return the lists restricted to features of the data; a note counts the missing genes."""
    lists, missing = keep_known_genes(markers.lists, adata.var_names, markers.source)
    if missing:
        log_note(missing)
    return lists
