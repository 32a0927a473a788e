"""The rare-population task: a dataset with one type made rare, and cells held out of the fit.

Any dataset (file, registered or simulated) takes these parameters in its brackets:
``zheng_sorted[rare_type=monocytes,prevalence=0.01,train=0.7]``. The labels select the cells; a fit
sees only the counts of the remaining cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.contract import Parameters
from bench.errors import UsageError
from bench.messages import collect_notes

from .derived_dataset import DerivedDataset, require_labels
from .marker_lists import dataset_markers

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from bench.contract import Dataset


class RarePopulationTask(Parameters):
    """Parameters of the rare-population task."""

    rare_type: str = Field(
        "", description="type to make rare; case, spaces and punctuation do not matter"
    )
    prevalence: float | None = Field(
        None, gt=0, lt=1, description="its share of the cells after down-sampling; none: unchanged"
    )
    plant_seed: int = Field(0, ge=0, description="seed of all draws of cells, molecules and genes")
    train: float | None = Field(
        None, ge=0, lt=1, description="share of each type's cells for the fit; 0: all; none: all, "
        "for paired data 0.8",
    )  # fmt: skip
    thin: float | None = Field(
        None, gt=0, lt=1, description="share of the molecules, drawn at random, as in shallower "
        "sequencing; none: all",
    )  # fmt: skip
    signatures: str = Field(
        "", description="marker lists for guided methods, separated by +; empty: all"
    )
    guide: Literal["true", "random", "shuffled"] = Field(
        "true", description="control: random genes of similar expression, or shuffled values"
    )


class RarePopulation(DerivedDataset):
    """A dataset with the cells of one type down-sampled and a part of the cells held out."""

    def __init__(self, inner: Dataset, task: RarePopulationTask) -> None:
        super().__init__(inner)
        self.task = task
        self.guided = bool(task.signatures) or task.guide != "true"

    def fingerprint(self) -> dict[str, Any]:
        """Return the identity of the data, and the task."""
        lists = dataset_markers(self) if self.guided else None
        task = {key: value for key, value in self.task.resolved().items() if value is not None}
        return {
            "of": self.inner.fingerprint(),
            "task": task,
            "markers": [lists.lists, lists.source] if lists else None,
        }

    def load(self) -> AnnData | MuData:
        """Return counts, labels and batch of the remaining cells, with a mask of training cells.

        Raises ``DataError`` for an unknown type and for too few cells for the prevalence.
        """
        from . import rare_cells

        data = self.inner.load()
        if self.task.rare_type:
            require_labels(self.inner)
        with collect_notes() as notes:
            data, self.card = rare_cells.apply_task(data, self.inner.card, self.task, self.where)
            if self.guided:
                data, self.replacement_markers = rare_cells.apply_guide(
                    data, dataset_markers(self), self.task, self.where
                )
        self.notes = [*self.inner.notes, *notes]
        return data


def split_task(
    values: Mapping[str, str], owner: str
) -> tuple[dict[str, str], RarePopulationTask | None]:
    """Return a selector's values without those of the task, and the task or ``None``.

    Raises ``UsageError`` for an invalid value, for ``prevalence`` without ``rare_type``, and for
    ``plant_seed`` without a random draw.
    """
    names = RarePopulationTask.model_fields
    rest = {key: value for key, value in values.items() if key not in names}
    if len(rest) == len(values):
        return rest, None
    task: RarePopulationTask = RarePopulationTask.build(
        {key: value for key, value in values.items() if key in names}, owner=owner
    )
    if task.prevalence is not None and not task.rare_type:
        raise UsageError(
            f"{owner}.prevalence={task.prevalence:g}: needs a type; add rare_type=.",
            code="missing_value",
        )
    draws = (task.prevalence is not None, task.thin is not None, task.train, task.guide != "true")
    if not any(draws) and "plant_seed" in values:
        raise UsageError(
            f"{owner}.plant_seed={task.plant_seed}: nothing is drawn; add prevalence=, train=, "
            "thin= or guide=.",
            code="missing_value",
        )
    return rest, task
