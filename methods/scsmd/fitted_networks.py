"""Networks of scSMD with the facts of their training cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.contract import Context, Fit
from bench.seeds import derive_seed

from .._fitted_arrays import check_features
from ..nn.batches import Cells
from ..nn.clusters import cluster_names, cluster_tables, first_labels, label_means
from ..nn.train import n_parameters, seeded
from .losses import memberships
from .network import AssignmentNetwork, ConvolutionalAutoencoder
from .phases import (
    assignments,
    cluster_phase,
    codes_of,
    map_cells,
    pair_phase,
    pretrain,
    settle_norms,
)

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ..nn.batches import Block
    from .params import ScSMDParams

_FILE = "scsmd.pt"


class FittedScSMD:
    """Both networks, the cluster centres and the median total of the training cells."""

    network: ConvolutionalAutoencoder
    assigner: AssignmentNetwork
    centres: Tensor
    median_total: float | None = None

    def __init__(self, params: ScSMDParams, features: list[str], name: str, device: str) -> None:
        self.params, self.features, self.name, self.device = params, features, name, device

    def fit(self, data: AnnData, context: Context) -> Fit:
        cells = self.cells(data)
        self.median_total = cells.median_total
        with seeded(context.seed, "network", device=context.device):
            codes, fuzzy = self._train(cells, context)
        soft = {"memberships": memberships(codes, self.centres, self.params.fuzziness)}
        labels = {"fuzzy": cluster_names(fuzzy)}
        if self.params.pair_epochs:
            soft["assignment"] = assignments(self.assigner, codes)
            labels["assigned"] = cluster_names(soft["assignment"])
        tables = cluster_tables(soft, self.centres, data.obs_names)
        if self.params.keep_genes:
            tables["genes"] = self._gene_table(cells, data.obs_names)
        return Fit(
            embedding=codes.cpu().numpy(),
            labels=labels,
            tables=tables,
            n_parameters=n_parameters(self.network) + n_parameters(self.assigner),
            notes={"clusters": f"{len(self.centres)}, {self.params.count_origin()}"},
        )

    def _train(self, cells: Cells, context: Context) -> tuple[Tensor, Tensor]:
        """Run the phases; return the codes and the memberships after the second."""
        p = self.params
        network = self.add_network()
        pretrain(network, cells, p, context)
        if p.frozen_norms:
            settle_norms(
                network, lambda rows: network.encode(cells.block(rows).inputs),
                cells.n_cells, p.batch_size,
            )  # fmt: skip
        codes = codes_of(network, cells)
        k = p.n_clusters or context.n_clusters
        seed = derive_seed(context.seed, "centres")
        labels = torch.from_numpy(first_labels(codes.cpu().numpy(), p, k, seed))
        start = label_means(codes, labels.to(codes.device))
        centres = cluster_phase(network, cells, start, p, context)
        fuzzy = memberships(codes_of(network, cells), centres, p.fuzziness)
        assigner = self.add_assigner(len(centres))
        self.centres, codes = pair_phase(network, assigner, cells, centres, p, context)
        if p.frozen_norms:
            settle_norms(assigner, lambda rows: assigner(codes[rows]), cells.n_cells, p.batch_size)
        return codes, fuzzy

    def add_network(self) -> ConvolutionalAutoencoder:
        """Set and return the untrained autoencoder."""
        network = ConvolutionalAutoencoder(
            len(self.features), self.params.n_latent, attention=self.params.attention,
            dilations=self.params.dilations, input_dropout=self.params.input_dropout,
        ).to(self.device)  # fmt: skip
        # PyTorch's own overloads leave this argument out.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self.network

    def add_assigner(self, n_clusters: int) -> AssignmentNetwork:
        """Set and return the untrained assignment network."""
        self.assigner = AssignmentNetwork(self.params.n_latent, n_clusters).to(self.device)
        return self.assigner

    def cells(self, data: AnnData) -> Cells:
        """Return ``data`` as blocks; raises ``DataError`` without the training features."""
        check_features(self.features, data, self.name)
        if self.params.read_counts:
            data = data.copy()
            data.X = np.rint(data.X.toarray())
        return Cells(
            data, counts=self.params.models_counts, device=self.device,
            median_total=self.median_total,
        )  # fmt: skip

    def _gene_table(self, cells: Cells, names: pd.Index) -> pd.DataFrame:
        """Return the inputs of the network, cells × genes."""
        inputs = cells.block(np.arange(cells.n_cells)).inputs.cpu().numpy()
        return pd.DataFrame(inputs, pd.Index(names, name="cell"), self.features)

    def encode(self, data: AnnData) -> np.ndarray:
        return codes_of(self.network, self.cells(data)).cpu().numpy()

    def reconstruct(self, data: AnnData) -> np.ndarray:
        """Return expected counts, or reconstructed values if counts are not modelled."""
        network = self.network

        def expected(block: Block) -> Tensor:
            image = network.decode(network.encode(block.inputs))
            if not self.params.models_counts:
                return image[:, : network.n_genes]
            return network.count_parameters(image)[0].exp() * block.depth

        return map_cells(expected, self.cells(data), network).cpu().numpy()

    def save(self, path: Path) -> None:
        weights = {
            name: {key: value.cpu() for key, value in network.state_dict().items()}
            for name, network in (("network", self.network), ("assigner", self.assigner))
        }
        facts = {"features": self.features, "median_total": self.median_total}
        torch.save(weights | facts | {"centres": self.centres.cpu()}, path / _FILE)


def load_scsmd(params: ScSMDParams, name: str, path: Path) -> FittedScSMD:
    """Return the networks of :meth:`FittedScSMD.save`, on the CPU."""
    saved = torch.load(path / _FILE, weights_only=True, map_location="cpu")
    fitted = FittedScSMD(params, saved["features"], name, "cpu")
    fitted.median_total, fitted.centres = saved["median_total"], saved["centres"]
    fitted.add_network().load_state_dict(saved["network"])
    fitted.add_assigner(len(fitted.centres)).load_state_dict(saved["assigner"])
    return fitted
