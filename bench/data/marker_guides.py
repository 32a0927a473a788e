"""Marker lists of a task: some of those that are known, or a control in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.contract import Markers, all_genes, keep_known_genes
from bench.errors import DataError
from bench.messages import did_you_mean
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from anndata import AnnData

WINDOW = 25
"""A random gene is one of this many next above or below the marker in mean expression."""
SUFFIX = "~shuffled"


def normalize_name(text: str) -> str:
    """Return a name without what may differ between spellings."""
    return "".join(char for char in text.lower() if char.isalnum())


def select_lists(markers: Markers, names: str, where: str) -> Markers:
    """Return the lists named in ``names``, separated by ``+``; raises ``DataError``."""
    lists = {}
    for name in filter(None, (part.strip() for part in names.split("+"))):
        found = [one for one in markers.lists if normalize_name(one) == normalize_name(name)]
        if not found:
            known = list(markers.lists)
            raise DataError(
                f"{where}: signatures={names}: no marker list '{name}'.{did_you_mean(name, known)}"
            )
        lists[found[0]] = markers.lists[found[0]]
    if not lists:
        raise DataError(f"{where}: signatures={names} names no marker list.")
    return replace(markers, lists=lists)


def draw_random_genes(
    adata: AnnData, markers: Markers, spared: Mapping[str, tuple[str, ...]], seed: int
) -> tuple[Markers, str]:
    """Return lists of other genes of like mean expression, and one line on what was done.

    Each marker is replaced by a gene drawn from the 50 next to it in mean count, which is in none
    of the lists ``spared`` and stands for no other marker.
    """
    import numpy as np

    lists, missing = keep_known_genes(markers.lists, adata.var_names, markers.source)
    means = np.asarray(adata.X.mean(axis=0)).ravel()
    order = np.argsort(means, kind="stable")
    names = adata.var_names.to_numpy()[order]
    position = {name: place for place, name in enumerate(names)}
    taken = set(all_genes(spared)) | set(all_genes(lists))
    rng = np.random.default_rng(derive_seed(seed, "random genes"))
    drawn: dict[str, str] = {}
    for gene in all_genes(lists):
        near = names[max(0, position[gene] - WINDOW) : position[gene] + WINDOW + 1]
        free = [name for name in near if name not in taken]
        if not free:
            raise DataError(f"no gene of like expression is left to stand for '{gene}'.")
        drawn[gene] = str(rng.choice(free))
        taken.add(drawn[gene])
    swapped = {name: tuple(drawn[gene] for gene in genes) for name, genes in lists.items()}
    note = f"guide=random: {len(drawn)} markers are other genes of like expression"
    return Markers(swapped, f"random genes in place of {markers.source}"), _join(note, missing)


def add_shuffled_genes(
    adata: AnnData, markers: Markers, seed: int
) -> tuple[AnnData, Markers, str]:
    """Return the data with shuffled copies of the markers, the lists of the copies, and a line.

    The copies are further features, ``GENE~shuffled``: the counts of all markers of a cell are
    given to another cell drawn at random, the same for all genes, so that the markers still go
    together but belong to no type. The genes themselves stay as they are.
    """
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

    lists, missing = keep_known_genes(markers.lists, adata.var_names, markers.source)
    genes = list(all_genes(lists))
    values = sp.csr_matrix(adata.X)
    dealt = np.random.default_rng(derive_seed(seed, "shuffled genes")).permutation(adata.n_obs)
    copies = values[dealt][:, adata.var_names.get_indexer(genes)]
    names = [*adata.var_names, *(f"{gene}{SUFFIX}" for gene in genes)]
    wider = AnnData(
        sp.hstack([values, copies], format="csr"), obs=adata.obs, var=pd.DataFrame(index=names),
        obsm=dict(adata.obsm), uns=dict(adata.uns),
    )  # fmt: skip
    shuffled = {name: tuple(f"{gene}{SUFFIX}" for gene in genes) for name, genes in lists.items()}
    note = f"guide=shuffled: {len(genes)} features are added, markers with shuffled values"
    return (
        wider, Markers(shuffled, f"shuffled values of {markers.source}"), _join(note, missing)
    )  # fmt: skip


def _join(note: str, missing: str) -> str:
    return f"{note}; {missing}" if missing else note
