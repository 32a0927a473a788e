"""scCrossRec: the exact sparse attention step against the dense one, and an epoch at full size.

    python benchmarks/sccrossrec.py [--quick] [--json FILE]

``step``: one published matching step (scores, ten largest sigmoids, weights, both aggregations,
backward) on 1,600 genes × 9,000 peaks of 20 chromosomes, one thread; the dense one is written from
the publication. The differences are the largest absolute ones; the mebibytes are the peak of
resident memory of a process of its own, above its start, at least 1. ``epoch`` is one epoch of the
network at 3,000 genes × 30,000 peaks × 10,000 cells: the updates are timed on a sample and
multiplied to all cells (the default takes ``epoch_cells`` of them an epoch). ``states`` are all
mixtures of the default, ``links_pass`` one pass that learns the gates, both of all cells. Seconds
are CPU seconds.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from _figures import Clock, context, flags, show
from bench.methods.sccrossrec import state_mixture as states
from bench.methods.sccrossrec.attention import AttentionRules, attend
from bench.methods.sccrossrec.cell_graphs import (
    CellGraphs,
    encode_scores,
    inverse_frequency,
    lsi_components,
    tf_idf,
)
from bench.methods.sccrossrec.gate_links import StandardizedExpression, learn_links
from bench.methods.sccrossrec.genome_sites import GenomeSites, candidate_pairs
from bench.methods.sccrossrec.network import BipartiteNetwork, Nodes
from bench.methods.sccrossrec.params import ScCrossRecParameters
from bench.methods.sccrossrec.training import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

N_CHROMOSOMES, HIDDEN = 20, 128
RULES = AttentionRules()
Made = tuple[list[Tensor], list[Tensor]]


def main() -> None:
    options = flags(__doc__)
    torch.set_num_threads(1)
    size = (400, 2000) if options.quick else (1600, 9000)
    figures: dict[str, float] = {}
    for name, step in (("sparse", sparse_step), ("dense", dense_step)):
        seconds, mib = apart(timed, step, *size)
        figures |= {f"{name} step/CPU s": seconds, f"{name} step/MiB": mib}
    for unit in ("CPU s", "MiB"):
        figures[f"ratio/{unit}"] = figures[f"dense step/{unit}"] / figures[f"sparse step/{unit}"]
    # Last, because a process starts with the peak memory of the one that started it.
    figures |= compared(*size)
    whole = (300, 3000, 1000, 40) if options.quick else (3000, 30_000, 10_000, 64)
    names = (
        "states of all cells, CPU s",
        "a pass that learns gates, CPU s",
        "an epoch of the network, CPU s",
        "peak MiB",
    )
    figures |= dict(zip(names, apart(epoch, *whole), strict=True))
    show(figures, options.json)


def made(n_genes: int, n_peaks: int) -> Made:
    """Return queries, keys, values of peaks and genes, and codes of chromosomes."""
    make = torch.Generator().manual_seed(0)
    tables = [
        torch.randn(n, HIDDEN, generator=make) * 0.4 for n in (n_genes, n_peaks, n_peaks, n_genes)
    ]
    return tables, [torch.randint(N_CHROMOSOMES, (n,), generator=make) for n in (n_genes, n_peaks)]


def sparse_step(tables: list[Tensor], codes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return A · Va and Aᵀ · Vr as the method computes them."""
    q, k, va, vr = tables
    found = attend(q, k, codes[0], codes[1], RULES)
    to_genes = (found.weight.unsqueeze(-1) * va[found.peak.clamp(min=0)]).sum(dim=1)
    spread = (found.weight.unsqueeze(-1) * vr.unsqueeze(1)).flatten(end_dim=1)
    to_peaks = vr.new_zeros(len(k), vr.shape[1])
    return to_genes, to_peaks.index_add(0, found.peak.clamp(min=0).flatten(), spread)


def dense_step(tables: list[Tensor], codes: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the same from tensors of size genes × peaks."""
    q, k, va, vr = tables
    share = torch.sigmoid((q @ k.T) * (codes[0][:, None] == codes[1]))
    value, place = torch.topk(share, RULES.top_k, dim=1)
    weight = torch.zeros_like(share).scatter(1, place, torch.softmax(value, dim=1))
    weight = weight * (share > RULES.threshold)
    return weight @ va, weight.T @ vr


def gradients(step: Callable[..., tuple[Tensor, Tensor]], given: Made) -> list[Tensor]:
    """Return outputs and gradients of a step."""
    tables = [one.clone().requires_grad_() for one in given[0]]
    genes, peaks = step(tables, given[1])
    (genes.square().sum() + peaks.square().sum()).backward()
    return [genes.detach(), peaks.detach(), *(t.grad for t in tables if t.grad is not None)]


def compared(n_genes: int, n_peaks: int) -> dict[str, float]:
    """Return the largest differences between both forms."""
    given = made(n_genes, n_peaks)
    pairs = list(zip(*(gradients(one, given) for one in (sparse_step, dense_step)), strict=True))
    apart = [float((one - other).abs().max()) for one, other in pairs]
    return {
        "largest difference of outputs": max(apart[:2]),
        "largest difference of gradients": max(apart[2:]),
    }


def timed(step: Callable[..., tuple[Tensor, Tensor]], n_genes: int, n_peaks: int) -> list[float]:
    """Return CPU seconds of a step with its gradients, best of three, and the peak in MiB."""
    given = made(n_genes, n_peaks)
    gradients(step, made(50, 100))
    before, best = resident(), np.inf
    for _ in range(3):
        started = time.process_time()
        gradients(step, given)
        best = min(best, time.process_time() - started)
    return [float(best), max(1.0, resident() - before)]


def epoch(n_genes: int, n_peaks: int, n_cells: int, n_sampled: int) -> list[float]:
    """Return CPU seconds of states, a pass over the links and an epoch, and the peak in MiB.

    Both matrices of all cells are in memory; 3 % of the peaks and 30 % of the genes are not zero.
    """
    rng = np.random.default_rng(0)
    rna = sp.random(n_cells, n_genes, 0.3, "csr", np.float32, rng=rng)
    peaks = sp.random(n_cells, n_peaks, 0.03, "csr", np.float32, rng=rng)
    peaks.data[:] = 1
    gene, peak = rng.integers(0, N_CHROMOSOMES, n_genes), rng.integers(0, N_CHROMOSOMES, n_peaks)
    length = 130_000_000 * n_peaks // 30_000
    sites = GenomeSites(
        tuple(str(n) for n in range(N_CHROMOSOMES)), gene, peak,
        rng.integers(0, length, n_genes), rng.integers(0, length, n_peaks),
    )  # fmt: skip
    p = ScCrossRecParameters(max_epochs=1, epoch_cells=n_sampled)
    idf, expression = inverse_frequency(peaks), StandardizedExpression.of(rna)
    pairs, components = (
        candidate_pairs(sites, p.distance_kb * 1000),
        lsi_components(tf_idf(peaks, idf), 10, 0),
    )
    started = time.process_time()
    weight = states.gene_precision(rna)
    for size in states.mixture_sizes(p.n_states, n_cells):
        states.fit_mixture(rna, peaks, weight, size, 0)
    seconds_states = time.process_time() - started
    started = time.process_time()
    links = learn_links(pairs, expression, rna, peaks, components, 1)
    seconds_links = time.process_time() - started
    nodes = [
        Nodes(torch.zeros(n, N_CHROMOSOMES + extra), None, p.id_dim, p.hidden, sparse=True)
        for n, extra in ((n_genes, 4), (n_peaks, 0))
    ]
    rules = AttentionRules(p.top_k, p.edge_threshold, sigmoid=False, fill=False)
    network = BipartiteNetwork(
        nodes[0], nodes[1], p.hidden, p.dropout, rules, torch.from_numpy(gene),
        torch.from_numpy(peak),
    )  # fmt: skip
    cells = CellGraphs(
        rna, peaks, by_value=True, idf=idf, device="cpu",
        scores=encode_scores(links.pairs.to_matrix(links.score, n_peaks)),
    )  # fmt: skip

    def wrong(some: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.column_stack([some, np.roll(some, 1)])

    started = time.process_time()
    none = np.empty(0, np.int64)
    train(network, cells, np.arange(n_sampled), none, wrong, p, context(Clock()))
    seconds = (time.process_time() - started) * n_cells / n_sampled
    return [seconds_states, seconds_links, seconds, resident()]


def resident() -> float:
    """Return the largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(function: Callable[..., list[float]], *given: object) -> list[float]:
    """Return what a function returns in a process of its own."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_told, args=(there, function, given)
    )
    process.start()
    there.close()
    found: list[float] = here.recv()
    process.join()
    return found


def _told(line: Connection, function: Callable[..., list[float]], given: tuple) -> None:
    torch.set_num_threads(1)
    line.send(function(*given))


if __name__ == "__main__":
    main()
