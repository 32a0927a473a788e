"""The SAKURA model: fit, embed, predict, reconstruct, save and load."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import DataError
from bench.seeds import derive_seed

from ..nn.train import copy_weights, encode, n_parameters, seeded
from .checkpoints import CheckpointFile, TrainingOptions, read_state, train
from .config_model import fail, lookup
from .features import (
    as_cells,
    choose_features,
    class_numbers,
    class_weights,
    numbers_of,
    select,
    set_scales,
    set_unit,
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


_LENGTHS = frozenset({"max_epochs", "max_ticks", "patience", "stages"})
"""Settings that may change when a training continues."""


class SakuraModel:
    """Autoencoder guided by signatures and phenotypes.

    A fit sets ``features``, ``classes`` (by categorical phenotype), ``curves`` (losses by epoch),
    ``term_losses`` (of each term by epoch), ``best_epoch``, ``cells`` (their names), ``masks``
    (cells of each split) and ``filtered`` (features of another fit that the preparation of these
    data filters out; they are 0).
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
        options: TrainingOptions | None = None,
    ) -> SakuraModel:
        """Train on ``data.X``, cells × features, log-normalised or otherwise prepared.

        ``phenotypes``: values by name, (cells,) or (cells, columns). ``splits``: masks of cells by
        name, where ``train`` overrides the settings. ``checkpoint``: a file from which an
        interrupted fit continues. ``options``: a state to continue from, parts of other models,
        states to keep. Raises ``UsageError`` or ``DataError`` for settings that do not suit the
        data.
        """
        options = options or TrainingOptions()
        start = options.read_start(torch.device(device))
        frozen = options.parts.frozen
        if start is not None:
            frozen = tuple(start["model"]["settings"]["frozen"])
        self.settings = replace(
            self.settings, frozen=tuple(dict.fromkeys((*self.settings.frozen, *frozen)))
        )
        check_genes(self.guidance, list(data.var_names))
        values = self._read_phenotypes(phenotypes or {}, data.n_obs)
        self.cells = [str(name) for name in data.obs_names]
        self.features = self._choose_features(data, options, start)
        self.filtered = sorted(({*self.features} - {*data.var_names}) & options.file_features)
        chosen = select(data, self.features, self.filtered)
        matrix = with_extra(chosen, self.features, self.guidance.extra_rows)
        rows_of, held_out = self._splits(data.n_obs, matrix.shape[0], seed, splits or {})
        with seeded(seed, "network", device=device):
            self.network = self._build().to(device)
            for name in self.settings.frozen:
                self.network.module(name).requires_grad_(False)
            self._set_start(matrix[rows_of["train"]], options, start)
            rows = training_rows(
                self.network, matrix, values, rows_of, held_out,
                lambda name: start is not None or name in options.parts.heads,
            )  # fmt: skip
            stored = checkpoint or options.start or options.kept
            facts = self._facts(matrix, rows, seed, options) if stored else {}
            file = CheckpointFile(checkpoint, facts, self._plain_cells())
            self._train(rows, seed, report, file, options, start)
        return self

    def _choose_features(
        self, data: AnnData, options: TrainingOptions, start: Mapping[str, Any] | None
    ) -> list[str]:
        """Return the features of the state to continue, of inserted parts, or variable ones."""
        if start is not None:
            return list(start["model"]["features"])
        inserted = options.parts.features(self.guidance.genes)
        n_top = self.settings.n_top_features
        return inserted or choose_features(data, n_top, self.guidance.genes)

    def _set_start(
        self, trained: Any, options: TrainingOptions, start: Mapping[str, Any] | None
    ) -> None:
        """Set scales and weights before the first step; ``trained``: training rows × features."""
        if start is not None:
            self._check_start(start, options)
            self.network.load_state_dict(start["network"])
            set_unit(self.network, trained)
            return
        options.parts.check_features(self)
        set_scales(self.network, trained, options.parts)
        options.parts.copy_weights(self.network, self)

    def _check_start(self, start: Mapping[str, Any], options: TrainingOptions) -> None:
        """Raise ``UsageError`` unless the state belongs to this model and these stages."""
        owner = f"continue {options.start}"
        if options.parts.sources:
            fail(owner, "it has all parts already; leave insert out.", "invalid_value")
        if "optimizer" not in start:
            fail(owner, "it holds no state of a training; fit again.", "no_state")
        now, then = self.as_plain(), start["model"]
        names = {*now["settings"]} - _LENGTHS
        changed = [
            name for name in sorted(names) if now["settings"][name] != then["settings"].get(name)
        ]
        stages = [[(one["tasks"], one["schedule"]) for one in model["settings"]["stages"]]
                  for model in (now, then)]  # fmt: skip
        n_done = start["stage"] + 1
        changed += ["stages"] if stages[0][:n_done] != stages[1][:n_done] else []
        others = ("signatures", "phenotypes", "classes", "widths")
        changed += [name for name in others if now[name] != then[name]]
        if changed:
            message = f"it was trained with other {' and '.join(changed)}; give the same."
            fail(owner, message, "other_fit")

    def _facts(
        self, matrix: Any, rows: TrainingRows, seed: int, options: TrainingOptions
    ) -> dict[str, Any]:
        """Return the facts that identify the fit in its states: model, seed, files and cells."""
        files = [options.start] if options.start else []
        files += [one.path for one, _ in options.parts.sources]
        origins = [f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
        facts = {
            "model": self.as_plain(),
            "seed": seed,
            "origins": origins,
            "cells": rows.digest(),
        }
        arrays = (matrix.data, matrix.indices) if hasattr(matrix, "indices") else (matrix,)
        for array in arrays:
            digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
            facts["cells"] = f"{facts['cells']} {digest}"
        return facts

    def _train(
        self, rows: TrainingRows, seed: int, report: Reporter, file: CheckpointFile,
        options: TrainingOptions, start: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        weights = {name: w.to(rows.device) for name, w in self._class_weights.items()}
        objective = SakuraObjective(self.network, weights)
        last, self._ends = train(
            objective, rows, self._stages(), seed, report, file, options, start
        )
        self.network.eval()
        self.curves, self.epochs = last.reported, len(last.reported)
        self.term_losses, self.passes = last.term_losses, last.passes
        # Without early stopping the last weights stay.
        self.best_epoch = last.best_epoch or self.epochs

    @contextmanager
    def as_after(self, stage: int) -> Iterator[None]:
        """Set the weights after ``stage``, counted from 0, within a ``with`` block."""
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
        facts = {"epochs": self.epochs, "best_epoch": self.best_epoch, "passes": self.passes}
        torch.save(
            {"model": self.as_plain(), "network": state, **self._plain_cells(), **facts}, path
        )

    @classmethod
    def load(cls, path: Path) -> SakuraModel:
        """Read a model, or the model of a kept state."""
        saved = read_state(path)
        plain = saved["model"]
        guidance = Guidance(
            tuple(Signature(**values) for values in plain["signatures"]),
            tuple(Phenotype(**values) for values in plain["phenotypes"]),
        )
        model = cls(SakuraSettings(**plain["settings"]), guidance)
        model.features, model.classes = plain["features"], plain["classes"]
        model._widths, model.cells = plain["widths"], saved["cell_names"]
        model.masks = {name: mask.numpy() for name, mask in saved["splits"].items()}
        model.epochs = len(saved["reported"]) if "reported" in saved else saved["epochs"]
        model.filtered = saved.get("filtered", [])
        model.best_epoch, model.passes = saved["best_epoch"] or model.epochs, saved["passes"]
        model.network = model._build()
        model.network.load_state_dict(saved["network"])
        model.network.eval()
        return model

    def as_plain(self) -> dict[str, Any]:
        """Return plain values from which the network can be rebuilt."""
        return {
            "settings": asdict(self.settings),
            # The invariant genes are one of the signatures.
            "signatures": [asdict(one) for one in self.guidance.all_signatures],
            "phenotypes": [asdict(one) for one in self.guidance.phenotypes],
            "features": self.features,
            "classes": self.classes,
            "widths": self._widths,
        }

    def _plain_cells(self) -> dict[str, Any]:
        """Return names, splits and filtered features of the data of the fit."""
        splits = {name: torch.from_numpy(mask) for name, mask in self.masks.items()}
        return {"cell_names": self.cells, "splits": splits, "filtered": self.filtered}

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
        rows = {
            name: np.concatenate([np.setdiff1d(np.flatnonzero(mask), held_out), extra])
            for name, mask in self.masks.items()
        }
        self.masks.setdefault("held_out", np.isin(np.arange(n_cells), held_out))
        trained = {task.split for stage in self._stages() for task in stage.tasks}
        if "train" not in trained:  # The deciles of the settings are not what was done.
            for name in {"train", "test"} - {*given}:
                del self.masks[name]
        return rows, held_out

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
        cells = as_cells(
            select(data, self.features, self.filtered), str(self.network.inputs.device)
        )
        return encode(
            self.network, lambda block: function(self.network.scaler(block.inputs)), cells
        )
