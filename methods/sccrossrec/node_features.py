"""Static features of genes and peaks, and DNA as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.errors import DataError

from .genome_sites import GenomeSites, to_csr

if TYPE_CHECKING:
    import pandas as pd
    from mudata import MuData

LENGTH = 256
"""Bases of a peak that are used."""
_ORDINAL = {"A": 0.25, "T": 0.5, "G": 0.75, "C": 1.0}
_N_VARIABLE = 2000
"""Genes marked as highly variable, as published."""


def gene_features(data: MuData, sites: GenomeSites, *, scaled: bool) -> np.ndarray:
    """Return one-hot chromosome, mean, normalised variance, strand, variable, (genes, C + 4).

    Mean and variance are of raw counts as published; ``scaled``: standardised logarithms. Unknown
    strands are 0.5.
    """
    rna = data["rna"]
    counts = to_csr(rna.layers["counts"])
    mean = np.asarray(counts.mean(axis=0), dtype=np.float64).ravel()
    square = np.asarray(counts.multiply(counts).mean(axis=0), dtype=np.float64).ravel()
    variance = normalized_variance(mean, np.maximum(square - mean**2, 0.0))
    strand = np.full(len(mean), 0.5)
    if "strand" in rna.var:
        strand = np.select([rna.var["strand"] == "+", rna.var["strand"] == "-"], [1.0, 0.0], 0.5)
    rank = np.argsort(np.argsort(-variance, kind="stable"), kind="stable")
    if scaled:
        mean, variance = (_standardise(np.log1p(one)) for one in (mean, variance))
    columns = [mean, variance, strand, (rank < _N_VARIABLE).astype(float)]
    hot = one_hot(sites.gene_chrom, len(sites.names))
    return np.column_stack([hot, *columns]).astype(np.float32)


def peak_features(sites: GenomeSites) -> np.ndarray:
    return one_hot(sites.peak_chrom, len(sites.names))


def one_hot(code: np.ndarray, n_codes: int) -> np.ndarray:
    """Return a column for each code; zeros for -1."""
    hot: np.ndarray = (code[:, None] == np.arange(n_codes)).astype(np.float32)
    return hot


def normalized_variance(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Return the variance over that expected from the mean.

    The expectation is a parabola of log variance on log mean. Seurat v3 uses a local regression
    (Stuart et al. 2019, Cell 177:1888).
    """
    out = np.zeros_like(mean)
    used = (mean > 0) & (variance > 0)
    if used.sum() < 4:
        return out
    x, y = np.log10(mean[used]), np.log10(variance[used])
    out[used] = 10 ** (y - np.polyval(np.polyfit(x, y, 2), x))
    return out


def _standardise(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    centred: np.ndarray = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return centred


def read_sequences(var: pd.DataFrame, dna: str) -> list[str] | None:
    """Return the sequence of each peak, or ``None`` if the data have none.

    ``dna`` is the parameter of that name. Raises ``DataError`` if it is ``required`` and the data
    have no sequence.
    """
    if dna == "none":
        return None
    if "sequence" in var:
        return [str(text).upper() for text in var["sequence"]]
    if dna == "required":
        raise DataError(
            "sccrossrec: dna=required, but atac.var has no column 'sequence'; add it with `bench "
            "data annotate` and a FASTA file of the genome, or set dna=auto.",
            code="missing_column",
        )
    return None


def ordinal_codes(sequences: list[str]) -> np.ndarray:
    """Return numbers of the first 256 bases, as published: A .25, T .5, G .75, C 1."""
    table = np.zeros(256, dtype=np.float32)
    for base, value in _ORDINAL.items():
        table[ord(base)] = value
    return table[_to_bytes([one[:LENGTH] for one in sequences])]


def central_codes(sequences: list[str]) -> np.ndarray:
    """Return codes (A 0, C 1, G 2, T 3, else 4) of the central 256 bases."""
    table = np.full(256, 4, dtype=np.uint8)
    for code, base in enumerate("ACGT"):
        table[ord(base)] = code
    central = [one[max(0, (len(one) - LENGTH) // 2) :][:LENGTH] for one in sequences]
    return table[_to_bytes(central)]


def _to_bytes(sequences: list[str]) -> np.ndarray:
    """Return the bytes of each sequence, padded with N, (sequences, 256)."""
    joined = "".join(one.ljust(LENGTH, "N") for one in sequences).encode("ascii", "replace")
    return np.frombuffer(joined, np.uint8).reshape(len(sequences), LENGTH)
