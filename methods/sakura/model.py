"""SAKURA as a model of its own: fit, embed new cells, predict, reconstruct, save and load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from bench.contract import Reporter
from bench.errors import DataError, UsageError
from bench.seeds import derive_seed

from ..nn.batches import Block
from ..nn.train import encode, n_parameters, seeded
from .checkpoints import CheckpointFile, train
from .features import (
    as_cells,
    choose_features,
    class_numbers,
    class_weights,
    digest_of,
    numbers_of,
    select,
    set_scales,
    training_rows,
    with_extra,
)
from .guidance import Guidance, Phenotype, Signature, resolve
from .loss_terms import fail
from .model_settings import Settings, Stage
from .network import SakuraNetwork
from .objective import Objective
from .training import decile_split

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Insertion:
    """A part of a trained model that replaces a part of a new one before it is trained."""

    model: SakuraModel
    source: str
    """``decoder``, ``pre_encoder``, a latent part (``main``, a name) or ``head:NAME``."""
    destination: str
    frozen: bool = False
    """It does not learn."""


class SakuraModel:
    """An autoencoder guided by knowledge.

    After :meth:`fit`: ``features`` (those it reads), ``classes`` (of each categorical phenotype),
    ``history`` (curves: each term unweighted, and the totals), ``best_epoch``, ``masks`` (training
    and test cells).
    """

    def __init__(self, settings: Settings, guidance: Guidance | None = None) -> None:
        self.settings = settings
        self.guidance = guidance or Guidance()
        self.history: dict[str, list[float]] = {}

    def fit(
        self,
        data: AnnData,
        *,
        seed: int = 0,
        device: str = "cpu",
        report: Reporter = lambda step, total=None, /, **values: None,
        phenotypes: Mapping[str, np.ndarray] | None = None,
        splits: Mapping[str, np.ndarray] | None = None,
        insertions: Sequence[Insertion] = (),
        checkpoint: Path | None = None,
    ) -> SakuraModel:
        """Train on ``data.X``, cells × features, log-normalised (or another non-count matrix).

        ``phenotypes``: name → values, (cells,) or (cells, columns). ``splits``: name → mask of
        cells, for tasks that name it; ``train`` overrides that of the settings. ``checkpoint``: a
        file written while it trains, from which an interrupted fit goes on.
        Raises ``UsageError`` for what does not fit the data.
        """
        resolve(self.guidance, list(data.var_names))
        found = self._read_phenotypes(phenotypes or {}, data.n_obs)
        n_top = self.settings.n_top_features
        self.features = choose_features(data, n_top, self.guidance.genes)
        masks = self._masks(data.n_obs, seed, splits or {})
        matrix = with_extra(select(data, self.features), self.features, self.guidance.extra_rows)
        extra = np.arange(data.n_obs, matrix.shape[0])
        with seeded(seed, "network", device=device):
            self.network = self._build().to(device)
            self._insert(insertions)
            for name in self.settings.frozen:
                self.network.module(name).requires_grad_(False)
            rows_of, held_out = self._rows(masks, seed, extra)
            trains = rows_of["train"]
            set_scales(self.network, self.guidance, self.settings, matrix, trains)
            rows = training_rows(
                self.network, self.guidance, matrix, data.n_obs, found, trains, device
            )
            self._train(rows, rows_of, held_out, seed, report, checkpoint)
        return self

    def _train(
        self, rows: Any, splits: Mapping[str, np.ndarray], held_out: np.ndarray, seed: int,
        report: Reporter, checkpoint: Path | None,
    ) -> None:  # fmt: skip
        weights = {name: w.to(rows.device) for name, w in self._class_weights.items()}
        objective = Objective(self.network, self.guidance, self.settings, weights)
        file = CheckpointFile(checkpoint, {
            "model": self._plain(), "seed": seed,
            "cells": digest_of(splits, rows) if checkpoint is not None else "",
        })  # fmt: skip
        last, self._ends = train(
            self.network, objective, rows, splits, held_out, self.settings, self._stages(), seed,
            report, file,
        )  # fmt: skip
        self.network.eval()
        self.history, self.epochs = last.history, len(last.reported)
        # Without early stopping the last weights are the ones that stay.
        self.best_epoch = last.best_epoch or self.epochs

    @contextmanager
    def as_after(self, stage: int) -> Iterator[None]:
        """Give the network the weights that it had after a stage, counted from 0, for a while."""
        now = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict([*self._ends, now][stage])
        try:
            yield
        finally:
            self.network.load_state_dict(now)

    @property
    def n_parameters(self) -> int:
        """Number of numbers that are trained."""
        return n_parameters(self.network)

    @property
    def inputs(self) -> list[str]:
        """The features that the encoder reads and the decoder reconstructs."""
        return [self.features[i] for i in self.network.inputs.tolist()]

    def transform(self, data: AnnData, space: str = "main") -> np.ndarray:
        """Return the latent space of cells, (cells, dims): ``main``, ``all`` or a guide's own.

        Raises ``UsageError`` for another name.
        """
        slices = self.network.layout.slices
        if space != "all" and space not in slices:
            raise UsageError(f"space='{space}': the model has {', '.join(['all', *slices])}.")
        parts = list(slices) if space == "all" else [space]

        def latent(scaled: Tensor) -> Tensor:
            found = self.network.encode(scaled, parts)
            return torch.cat([found[part] for part in parts], dim=1)

        return self._all(data, latent)

    def predict_signature(self, data: AnnData, name: str) -> np.ndarray:
        """Return the values of a signature's targets, (cells, genes), in the units of ``data.X``.

        A signature with binarised targets: what its head says, such as probabilities.
        """
        guide = self._guide(name, Signature)
        reader = self.network.reader(name)

        def predict(scaled: Tensor) -> Tensor:
            predicted = self._read(guide, scaled)
            if isinstance(guide, Signature) and guide.binarize is not None:
                return predicted
            return self.network.scaler.restore(reader.restore(predicted), reader.columns)

        return self._all(data, predict)

    def predict_phenotype(self, data: AnnData, name: str) -> np.ndarray:
        """Return probabilities of the classes, (cells, classes), or values, (cells, columns)."""
        guide = self._guide(name, Phenotype)
        reader = self.network.reader(name)
        if name in self.classes:
            return self._all(data, lambda scaled: self._read(guide, scaled).exp())
        return self._all(data, lambda scaled: reader.restore(self._read(guide, scaled)))

    def reconstruct(self, data: AnnData) -> np.ndarray:
        """Return the expected value of the features ``inputs``, in the units of ``data.X``."""
        net = self.network
        return self._all(data, lambda s: net.scaler.restore(net.decode(net.encode(s)), net.inputs))

    def save(self, path: Path) -> None:
        """Write the model into the file ``path``; extra rows are not kept."""
        state = {name: value.cpu() for name, value in self.network.state_dict().items()}
        torch.save({"model": self._plain(), "state": state}, path)

    @classmethod
    def load(cls, path: Path) -> SakuraModel:
        """Return a model that :meth:`save` wrote, on the CPU."""
        kept = torch.load(path, weights_only=True, map_location="cpu")
        plain = kept["model"]
        knows = plain["guidance"]
        model = cls(
            TypeAdapter(Settings).validate_python(plain["settings"]),
            Guidance(
                TypeAdapter(tuple[Signature, ...]).validate_python(knows["signatures"]),
                TypeAdapter(tuple[Phenotype, ...]).validate_python(knows["phenotypes"]),
            ),
        )
        model.features, model.classes = plain["features"], plain["classes"]
        model._widths = plain["widths"]
        model.network = model._build()
        model.network.load_state_dict(kept["state"])
        model.network.eval()
        return model

    def _plain(self) -> dict[str, Any]:
        """Return what rebuilds the network, as plain values."""
        knows = {
            # The invariant genes are one of the signatures.
            "signatures": [asdict(one) for one in self.guidance.all_signatures],
            "phenotypes": [asdict(one) for one in self.guidance.phenotypes],
        }
        return {
            "settings": asdict(self.settings), "guidance": knows, "features": self.features,
            "classes": self.classes, "widths": self._widths,
        }  # fmt: skip

    def _stages(self) -> tuple[Stage, ...]:
        return self.settings.resolved_stages(tuple(one.name for one in self.guidance.guides))

    def _build(self) -> SakuraNetwork:
        at = {name: number for number, name in enumerate(self.features)}
        hidden = {
            gene
            for one in self.guidance.all_signatures
            if one.exclude_from_input
            for gene in one.genes
        }
        inputs = [number for name, number in at.items() if name not in hidden]
        if not inputs:
            raise UsageError("exclude_from_input leaves no feature for the encoder.")
        outputs: list[tuple[int, Tensor]] = []
        for guide in self.guidance.guides:
            genes = guide.targets if isinstance(guide, Signature) else ()
            columns = torch.tensor([at[gene] for gene in genes], dtype=torch.int64)
            outputs.append((len(genes) or self._widths[guide.name], columns))
        return SakuraNetwork(self.settings, self.guidance, len(at), torch.tensor(inputs), outputs)

    def _insert(self, insertions: Sequence[Insertion]) -> None:
        for one in insertions:
            source = one.model.network.module(one.source)
            target = self.network.module(one.destination)
            theirs = [tuple(value.shape) for value in source.state_dict().values()]
            ours = [tuple(value.shape) for value in target.state_dict().values()]
            if theirs != ours:
                fail("insertion", f"'{one.source}' has layers {theirs}, '{one.destination}' needs "
                                  f"{ours}.")  # fmt: skip
            values = source.state_dict().values()
            target.load_state_dict(dict(zip(target.state_dict(), values, strict=True)))
            if one.frozen:
                target.requires_grad_(False)

    def _read_phenotypes(self, given: Mapping[str, np.ndarray], n_cells: int) -> dict[str, Tensor]:
        """Return the phenotypes as tensors, and note their classes, weights and widths."""
        found: dict[str, Tensor] = {}
        self.classes: dict[str, list[str]] = {}
        self._widths: dict[str, int] = {}
        self._class_weights: dict[str, Tensor] = {}
        for one in self.guidance.phenotypes:
            if one.name not in given:
                raise UsageError(f"{one._owner}: its values are not given.")
            values = np.asarray(given[one.name])
            if len(values) != n_cells:
                raise DataError(f"{one._owner}: {len(values)} values for {n_cells} cells.")
            if one.kind == "categorical":
                found[one.name], classes = class_numbers(one, values)
                self.classes[one.name] = classes
                self._widths[one.name] = len(classes)
                self._class_weights[one.name] = class_weights(one, found[one.name], classes)
            else:
                found[one.name] = numbers_of(one, values, n_cells)
                self._widths[one.name] = found[one.name].shape[1]
        return found

    def _masks(
        self, n_cells: int, seed: int, given: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        for name, mask in given.items():
            if np.shape(mask) != (n_cells,):
                raise DataError(f"split '{name}': shape {np.shape(mask)} for {n_cells} cells.")
        train, test = decile_split(n_cells, self.settings.train_deciles, seed)
        own = {"all": np.ones(n_cells, dtype=bool), "train": train, "test": test}
        self.masks = own | {name: np.asarray(mask, dtype=bool) for name, mask in given.items()}
        for task in (task for stage in self._stages() for task in stage.tasks):
            if task.split not in self.masks:
                fail(f"task '{task.name}'", f"split='{task.split}' is not known; there are "
                                            f"{', '.join(self.masks)}.")  # fmt: skip
            if not self.masks[task.split].any():
                fail(f"task '{task.name}'", f"its split '{task.split}' has no cell.")
        return self.masks

    def _rows(
        self, masks: Mapping[str, np.ndarray], seed: int, extra: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Return the row numbers of every split, extra rows among them, and those held out."""
        rng = np.random.default_rng(derive_seed(seed, "held-out"))
        trains = np.flatnonzero(masks["train"])
        n_held_out = min(round(self.settings.validation * len(trains)), len(trains) - 1)
        held_out = np.sort(rng.permutation(trains)[:n_held_out])
        splits = {}
        for name, mask in masks.items():
            kept = np.setdiff1d(np.flatnonzero(mask), held_out)
            splits[name] = np.concatenate([kept, extra])
        return splits, held_out

    def _guide(self, name: str, kind: type) -> Signature | Phenotype:
        known = [one.name for one in self.guidance.guides if isinstance(one, kind)]
        for one in self.guidance.guides:
            if one.name == name and isinstance(one, kind):
                return one
        raise UsageError(
            f"the model has no {kind.__name__.lower()} '{name}'; it has: {', '.join(known)}."
        )

    def _read(self, guide: Signature | Phenotype, scaled: Tensor) -> Tensor:
        parts = self.network.layout.parts(guide)
        latents = self.network.encode(scaled, parts)
        head: nn.Module = self.network.reader(guide.name)
        predicted: Tensor = head(torch.cat([latents[part] for part in parts], dim=1))
        return predicted

    def _all(self, data: AnnData, function: Any) -> np.ndarray:
        device = str(self.network.inputs.device)
        cells = as_cells(select(data, self.features), device)

        def of(block: Block) -> Tensor:
            result: Tensor = function(self.network.scaler(block.inputs))
            return result

        return encode(self.network, of, cells)
