"""The SAKURA model: fit, embed, predict, reconstruct, save and load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import DataError
from bench.seeds import derive_seed

from ..nn.train import copy_weights, encode, n_parameters, seeded
from .checkpoints import CheckpointFile, train
from .config_model import fail, lookup
from .features import (
    as_cells,
    choose_features,
    class_numbers,
    class_weights,
    numbers_of,
    select,
    set_scales,
    training_rows,
    with_extra,
)
from .guidance import Guidance, Guide, Phenotype, Signature, check_genes
from .model_settings import SakuraSettings, Stage
from .network import SakuraNetwork
from .objective import SakuraObjective, TrainingRows
from .training import decile_split

if TYPE_CHECKING:
    from anndata import AnnData

    from bench.contract import Reporter


class SakuraModel:
    """Autoencoder guided by signatures and phenotypes.

    A fit sets ``features``, ``classes`` (by categorical phenotype), ``curves`` (losses by epoch),
    ``best_epoch`` and ``masks`` (cells of each split).
    """

    def __init__(self, settings: SakuraSettings, guidance: Guidance | None = None) -> None:
        self.settings = settings
        self.guidance = guidance or Guidance()

    def fit(
        self,
        data: AnnData,
        *,
        seed: int = 0,
        device: str = "cpu",
        report: Reporter = lambda step, total=None, /, **values: None,
        phenotypes: Mapping[str, np.ndarray] | None = None,
        splits: Mapping[str, np.ndarray] | None = None,
        checkpoint: Path | None = None,
    ) -> SakuraModel:
        """Train on ``data.X``, cells × features, log-normalised or otherwise prepared.

        ``phenotypes``: values by name, (cells,) or (cells, columns). ``splits``: masks of cells by
        name, where ``train`` overrides the settings. ``checkpoint``: a file from which an
        interrupted fit continues. Raises ``UsageError`` or ``DataError`` for settings that do not
        suit the data.
        """
        check_genes(self.guidance, list(data.var_names))
        values = self._read_phenotypes(phenotypes or {}, data.n_obs)
        n_top = self.settings.n_top_features
        self.features = choose_features(data, n_top, self.guidance.genes)
        matrix = with_extra(select(data, self.features), self.features, self.guidance.extra_rows)
        rows_of, held_out = self._splits(data.n_obs, matrix.shape[0], seed, splits or {})
        with seeded(seed, "network", device=device):
            self.network = self._build().to(device)
            for name in self.settings.frozen:
                self.network.module(name).requires_grad_(False)
            set_scales(self.network, matrix[rows_of["train"]])
            rows = training_rows(self.network, matrix, values, rows_of, held_out)
            self._train(rows, seed, report, checkpoint)
        return self

    def _train(
        self, rows: TrainingRows, seed: int, report: Reporter, checkpoint: Path | None
    ) -> None:
        weights = {name: w.to(rows.device) for name, w in self._class_weights.items()}
        objective = SakuraObjective(self.network, weights)
        cells = "" if checkpoint is None else rows.digest()
        facts = {"model": self._plain(), "seed": seed, "cells": cells}
        file = CheckpointFile(checkpoint, facts)
        last, self._ends = train(objective, rows, self._stages(), seed, report, file)
        self.network.eval()
        self.curves, self.epochs = last.reported, len(last.reported)
        # Without early stopping the last weights stay.
        self.best_epoch = last.best_epoch or self.epochs

    @contextmanager
    def as_after(self, stage: int) -> Iterator[None]:
        """Set the weights to those after a stage, from 0, within a ``with`` block."""
        now = copy_weights(self.network)
        self.network.load_state_dict([*self._ends, now][stage])
        try:
            yield
        finally:
            self.network.load_state_dict(now)

    @property
    def n_parameters(self) -> int:
        return n_parameters(self.network)

    @property
    def inputs(self) -> list[str]:
        """Names of the features of encoder and reconstruction."""
        return [self.features[i] for i in self.network.inputs.tolist()]

    def transform(self, data: AnnData, space: str = "main") -> np.ndarray:
        """Return part of the latent space, (cells, dims): ``main``, ``all`` or a guide's own.

        Raises ``UsageError`` for another name.
        """
        names = list(self.network.layout.slices)
        parts = lookup({"all": names} | {name: [name] for name in names}, space, "space")

        def latent(scaled: Tensor) -> Tensor:
            latents = self.network.encode(scaled, parts)
            return torch.cat([latents[part] for part in parts], dim=1)

        return self.evaluate(data, latent)

    def predict_signature(self, data: AnnData, name: str) -> np.ndarray:
        """Return predicted genes of a signature, (cells, genes), in the units of ``data.X``.

        Binarised targets: the output of the head, such as probabilities.
        """
        guide = self._guide(name, Signature)
        reader = self.network.reader(name)

        def predict(scaled: Tensor) -> Tensor:
            predicted = self._read(guide, scaled)
            if isinstance(guide, Signature) and guide.binarize is not None:
                return predicted
            return self.network.scaler.restore(reader.restore(predicted), reader.columns)

        return self.evaluate(data, predict)

    def predict_phenotype(self, data: AnnData, name: str) -> np.ndarray:
        """Return class probabilities, (cells, classes), or values, (cells, columns)."""
        guide = self._guide(name, Phenotype)
        reader = self.network.reader(name)
        if name in self.classes:
            return self.evaluate(data, lambda scaled: self._read(guide, scaled).exp())
        return self.evaluate(data, lambda scaled: reader.restore(self._read(guide, scaled)))

    def reconstruct(self, data: AnnData) -> np.ndarray:
        """Return expected values of the features ``inputs``, in the units of ``data.X``."""
        net = self.network
        return self.evaluate(
            data, lambda s: net.scaler.restore(net.decode(net.encode(s)), net.inputs)
        )

    def save(self, path: Path) -> None:
        """Write the model into a file, without extra rows."""
        state = {name: value.cpu() for name, value in self.network.state_dict().items()}
        torch.save({"model": self._plain(), "state": state}, path)

    @classmethod
    def load(cls, path: Path) -> SakuraModel:
        saved = torch.load(path, weights_only=True, map_location="cpu")
        plain = saved["model"]
        guidance = Guidance(
            tuple(Signature(**values) for values in plain["signatures"]),
            tuple(Phenotype(**values) for values in plain["phenotypes"]),
        )
        model = cls(SakuraSettings(**plain["settings"]), guidance)
        model.features, model.classes = plain["features"], plain["classes"]
        model._widths = plain["widths"]
        model.network = model._build()
        model.network.load_state_dict(saved["state"])
        model.network.eval()
        return model

    def _plain(self) -> dict[str, Any]:
        """Return what rebuilds the network, as plain values."""
        return {
            "settings": asdict(self.settings),
            # The invariant genes are one of the signatures.
            "signatures": [asdict(one) for one in self.guidance.all_signatures],
            "phenotypes": [asdict(one) for one in self.guidance.phenotypes],
            "features": self.features,
            "classes": self.classes,
            "widths": self._widths,
        }

    def _stages(self) -> tuple[Stage, ...]:
        return self.settings.resolved_stages(tuple(one.name for one in self.guidance.guides))

    def _build(self) -> SakuraNetwork:
        at = {name: number for number, name in enumerate(self.features)}
        excluded: set[str] = set()
        for one in self.guidance.all_signatures:
            excluded.update(one.genes if one.exclude_from_input else ())
        inputs = [number for name, number in at.items() if name not in excluded]
        if not inputs:
            fail("exclude_from_input", "it leaves no feature for the encoder.", "no_features")
        outputs: list[tuple[int, Tensor]] = []
        for guide in self.guidance.guides:
            genes = guide.targets if isinstance(guide, Signature) else ()
            columns = torch.tensor([at[gene] for gene in genes], dtype=torch.int64)
            outputs.append((len(genes) or self._widths[guide.name], columns))
        return SakuraNetwork(self.settings, self.guidance, len(at), torch.tensor(inputs), outputs)

    def _read_phenotypes(self, given: Mapping[str, np.ndarray], n_cells: int) -> dict[str, Tensor]:
        """Return the phenotypes as tensors; set classes, class weights and widths."""
        tensors: dict[str, Tensor] = {}
        self.classes: dict[str, list[str]] = {}
        self._widths: dict[str, int] = {}
        self._class_weights: dict[str, Tensor] = {}
        for one in self.guidance.phenotypes:
            if one.name not in given:
                fail(one.owner, "its values are not given.", "missing_values")
            values = np.asarray(given[one.name])
            if len(values) != n_cells:
                message = f"{one.owner}: {len(values)} values for {n_cells} cells."
                raise DataError(message, code="size_mismatch")
            if one.categorical:
                tensors[one.name], classes = class_numbers(one, values)
                self.classes[one.name] = classes
                self._widths[one.name] = len(classes)
                self._class_weights[one.name] = class_weights(one, tensors[one.name], classes)
            else:
                tensors[one.name] = numbers_of(one, values, n_cells)
                self._widths[one.name] = tensors[one.name].shape[1]
        return tensors

    def _splits(
        self, n_cells: int, n_rows: int, seed: int, given: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the rows of each split with the extra rows, and the held-out rows."""
        for name, mask in given.items():
            if np.shape(mask) != (n_cells,):
                message = f"split '{name}': shape {np.shape(mask)} for {n_cells} cells."
                raise DataError(message, code="size_mismatch")
        train, test = decile_split(n_cells, self.settings.train_deciles, seed)
        own = {"all": np.ones(n_cells, dtype=bool), "train": train, "test": test}
        self.masks = own | {name: np.asarray(mask, dtype=bool) for name, mask in given.items()}
        for task in (task for stage in self._stages() for task in stage.tasks):
            mask = lookup(self.masks, task.split, f"task '{task.name}'")
            if not mask.any():
                fail(f"task '{task.name}'", f"its split '{task.split}' has no cell.", "no_cells")
        training = np.flatnonzero(self.masks["train"])
        n_held_out = min(round(self.settings.validation * len(training)), len(training) - 1)
        rng = np.random.default_rng(derive_seed(seed, "held-out"))
        held_out = np.sort(rng.permutation(training)[:n_held_out])
        extra = np.arange(n_cells, n_rows)
        return {
            name: np.concatenate([np.setdiff1d(np.flatnonzero(mask), held_out), extra])
            for name, mask in self.masks.items()
        }, held_out

    def _guide(self, name: str, kind: type) -> Guide:
        guides = {one.name: one for one in self.guidance.guides if isinstance(one, kind)}
        return lookup(guides, name, f"{kind.__name__.lower()}s of the model")

    def _read(self, guide: Guide, scaled: Tensor) -> Tensor:
        latents = self.network.encode(scaled, self.network.layout.parts(guide))
        predicted: Tensor = self.network.reader(guide.name)(
            self.network.head_input(guide, latents)
        )
        return predicted

    def evaluate(self, data: AnnData, function: Callable[[Tensor], Tensor]) -> np.ndarray:
        """Return ``function`` of the scaled features of all cells, without gradients."""
        cells = as_cells(select(data, self.features), str(self.network.inputs.device))
        return encode(
            self.network, lambda block: function(self.network.scaler(block.inputs)), cells
        )
