"""Fit of scCrossRec: evidence, network, calibration."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from bench.contract import Context, Fit
from bench.seeds import derive_seed

from ..nn.train import n_parameters, seeded
from . import calibration, node_features, training
from . import state_mixture as states
from .cell_graphs import (
    inverse_frequency,
    lsi_components,
    open_peaks,
    svd_embedding,
    tf_idf,
)
from .evidence import Evidence, EvidenceOptions, Profiles
from .genome_sites import (
    GenomeSites,
    candidate_pairs,
    note_empty_cells,
    read_genome_sites,
    to_csr,
)
from .model import FittedModel, build_network, read_profiles, right_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import scipy.sparse as sp
    from mudata import MuData

    from .cell_graphs import CellGraphs
    from .network import BipartiteNetwork
    from .params import ScCrossRecParameters

_LSI = 10
_MAX_LINKS = 20_000
"""Links in the table of a fit, at most."""


def fit(data: MuData, p: ScCrossRecParameters, context: Context) -> tuple[FittedModel, Fit]:
    """Return the fitted model and its result."""
    notes = {}
    empty = note_empty_cells(data)
    if empty:
        notes["cells"] = empty
        context.log(f"sccrossrec: {empty}")
    with _one_thread():
        model, trained = fit_model(data, p, context)
    few = model.sites.chromosomes_with_few_peaks(p.top_k)
    if few:
        notes["chromosomes"] = (
            f"fewer than top_k={p.top_k} peaks on {', '.join(few)}: genes there attend to all"
        )
        context.log(f"sccrossrec: {notes['chromosomes']}")
    notes |= {"training": trained} | _notes(model)
    links = model.link_table(data).nlargest(_MAX_LINKS, "weight").reset_index(drop=True)
    return model, Fit(
        embedding=model.embed(data),
        tables={"links": links},
        n_parameters=n_parameters(model.network),
        notes=notes,
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread, because scattered sums depend on the order of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _notes(model: FittedModel) -> dict[str, str]:
    known = "known" if model.sites.positions() is not None else "unknown: whole chromosomes"
    peaks = model.network.peaks
    sequence = peaks.sequence is not None or peaks.static.shape[1] > len(model.sites.names)
    notes = {
        "distances": known if model.params.mask_mode == "distance_kb" else "not used",
        "sequence": "used" if sequence else "not in the data, or switched off",
    }
    if model.evidence is not None:
        parts = "network and evidence" if model.blend[1] else "evidence alone"
        notes["matching"] = f"{parts}: {model.evidence.note()}"
    return notes


def fit_model(data: MuData, p: ScCrossRecParameters, context: Context) -> tuple[FittedModel, str]:
    """Return the fitted model, and a note on the training."""
    seed = context.seed
    sites = read_genome_sites(data)
    peaks = open_peaks(data["atac"])
    idf = inverse_frequency(peaks)
    peak_rows = tf_idf(peaks, idf)
    inside, held_out = training.split_cells(data.n_obs, p.validation, seed)
    rate = np.asarray((to_csr(data["rna"].layers["counts"]) > 0).mean(axis=0), np.float64).ravel()
    features = {part: list(data[part].var_names) for part in ("rna", "atac")}
    wrong = _wrong_pairs(p, peak_rows, context)
    with seeded(seed, "network", device=context.device):
        network = _initial_network(data, sites, peak_rows, p, context)
        model = FittedModel(p, features, sites, network, idf, rate, device=context.device)
        profiles = read_profiles(data["rna"], data["atac"])
        options = _evidence_options(sites, data.n_obs, p, seed)
        if p.links == "evidence":
            # The held-out cells stay out of the evidence until the network is calibrated.
            model.evidence = Evidence.fit(
                profiles[inside], options,
                lambda number, loss: context.report(number, p.link_passes, links_residual=loss),
            )  # fmt: skip
            rng = np.random.default_rng(derive_seed(seed, "folds"))
            model.evidence.set_weights(profiles, options, wrong, rng)
        graphs = model.graphs(to_csr(data["rna"].X), to_csr(data["atac"].X))
        if p.normalize:
            sample = inside[:: max(1, len(inside) // p.epoch_cells)]
            network.standardise(training.cell_pools(network, graphs, right_pairs(sample)))
        trained = training.train(network, graphs, inside, held_out, wrong, p, context)
        if model.evidence is not None:
            _calibrate(model, graphs, profiles, held_out, seed)
            if len(held_out):
                known = model.evidence
                model.evidence = Evidence.fit(profiles, options)
                model.evidence.weights = known.weights
                model.evidence.variance = known.variance
            model.evidence.add_within_axes(profiles)
    return model, trained


def _evidence_options(
    sites: GenomeSites, n_cells: int, p: ScCrossRecParameters, seed: int
) -> EvidenceOptions:
    max_distance = p.distance_kb * 1000 if p.mask_mode == "distance_kb" else None
    return EvidenceOptions(
        candidate_pairs(sites, max_distance), states.mixture_sizes(p.n_states, n_cells),
        p.link_passes, derive_seed(seed, "states"),
    )  # fmt: skip


def _wrong_pairs(
    p: ScCrossRecParameters, peak_rows: sp.csr_matrix, context: Context
) -> training.WrongPairs:
    labels = context.knowledge.labels if p.neg_mode.startswith("label") else None
    components = None
    if p.neg_mode == "lsi_far":
        components = lsi_components(peak_rows, _LSI, derive_seed(context.seed, "lsi"))

    def wrong(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return training.wrong_pairs(
            cells, p.neg_mode, p.neg_ratio, rng, components=components, labels=labels
        )

    return wrong


def _calibrate(
    model: FittedModel, graphs: CellGraphs, profiles: Profiles, held_out: np.ndarray, seed: int
) -> None:
    """Set the network's weight in the matching and the slopes of the translation.

    Without held-out cells the network's weight is 0.
    """
    assert model.evidence is not None
    model.blend = np.array([0.0, 0.0, 1.0])
    if len(held_out) < 2:
        return
    rng = np.random.default_rng(derive_seed(seed, "blend"))
    pairs = np.concatenate(
        [right_pairs(held_out), training.wrong_pairs(held_out, "random_cell", 5, rng)]
    )
    model.blend = calibration.blend_weights(
        model.network_log_odds(graphs, pairs), model.evidence.log_odds(profiles, pairs),
        np.arange(len(pairs)) < len(held_out),
    )  # fmt: skip
    cells = profiles[held_out]
    model.slopes = calibration.detection_slopes(
        model.rate, model.evidence.expected_expression(cells.fragments),
        model.evidence.links.depth(cells.fragments), (cells.counts > 0).toarray(),
    )  # fmt: skip


def _initial_network(
    data: MuData, sites: GenomeSites, peak_rows: sp.csr_matrix, p: ScCrossRecParameters,
    context: Context,
) -> BipartiteNetwork:  # fmt: skip
    """Return the untrained network; ``peak_rows``: TF-IDF of the peaks. Seed torch first."""
    gene_static = node_features.gene_features(data, sites, scaled=p.normalize)
    peak_static = node_features.peak_features(sites)
    codes = None
    sequences = node_features.read_sequences(data["atac"].var, p.dna)
    if sequences is not None and p.dna_encoder == "ordinal256":
        peak_static = np.column_stack([peak_static, node_features.ordinal_codes(sequences)])
    elif sequences is not None:
        codes = torch.from_numpy(node_features.central_codes(sequences))
    network = build_network(
        p, sites, torch.from_numpy(gene_static), torch.from_numpy(peak_static), codes
    )
    if p.id_start == "svd":
        gene_rows = to_csr(data["rna"].X)
        for nodes, matrix in ((network.genes, gene_rows), (network.peaks, peak_rows)):
            seed = derive_seed(context.seed, "svd", str(matrix.shape[1]))
            nodes.start_from(torch.from_numpy(svd_embedding(matrix, p.id_dim, _LSI, seed)))
        network.start_without_neighbours()
    return network.to(context.device)
