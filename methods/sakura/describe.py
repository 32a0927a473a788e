"""Text of guides and configurations for a dry run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .features import class_numbers
from .guidance import Guidance, Guide, Signature
from .original_config.story import n_batches

if TYPE_CHECKING:
    import numpy as np

    from .loss_terms import WeightSchedule
    from .original_config.main_config import OriginalSetup


def describe_setup(setup: OriginalSetup) -> list[str]:
    """Return lines on the network, the term weights over the epochs, the splits and the tasks."""
    s = setup.settings
    lines = [
        f"network: encoder {_widths(s.encoder_widths)} (CELU), {s.n_latent} main dimensions "
        f"({s.latent_activation}), decoder {_widths(s.decoder_widths)} "
        f"({s.output_activation} at the end)",
        f"reconstruction: {_terms(s.reconstruction)}",
    ]
    lines += [f"main, {one.kind}: {_weight(one.schedule)}" for one in s.regularizers]
    lines += describe_guides(setup.guidance, setup.values)
    lines += [f"split {name}: {int(mask.sum()):,} cells" for name, mask in setup.splits.items()]
    for number in range(len(setup.story)):
        prefix = f"stage {number + 1}, " if len(setup.story) > 1 else ""
        lines += [prefix + line for line in _stage(setup, number)]
    return lines


def _widths(widths: Sequence[int]) -> str:
    return " → ".join(map(str, widths)) or "one layer"


def _stage(setup: OriginalSetup, number: int) -> list[str]:
    """Return lines on the tasks, the length and the tables of a stage."""
    stage, settings = setup.story[number].stage, setup.settings
    lines = []
    for task in stage.tasks:
        parts = ["reconstruction"] if task.reconstruct else []
        for guide in task.guides:
            terms = f" ({', '.join(task.terms[guide])})" if guide in task.terms else ""
            parts.append(guide + terms)
        batches = (
            f"{task.batch_size} cells a batch, {n_batches(task, setup.splits)} batches a pass"
        )
        detached = f", detached from {task.detach}" if task.detach != "none" else ""
        split = f"on split {task.split}, {batches}{detached}"
        lines.append(f"task {task.name}: {', '.join(parts)} {split}")
    length = f"{stage.max_ticks:,} ticks" if stage.max_ticks else f"{stage.max_epochs} epochs"
    optimizer = f"rmsprop {settings.learning_rate:g}/{settings.alpha:g}"
    start = f", continues stage {number}" if number else ""
    lines.append(f"training: {stage.schedule}, {length}, {optimizer}{start}")
    tables = [(name, one) for after, name, one in setup.tables() if after == number]
    lines += [f"table {name}.csv: {', '.join(t.parts)} of split {t.split}" for name, t in tables]
    story = setup.story[number]
    if story.repeated and story.tables_at:
        lines.append(f"the tables of this training also {story.tables_at}")
    if story.keep_at:
        lines.append(f"the state is kept {story.keep_at}")
    return lines


def describe_guides(guidance: Guidance, values: Mapping[str, np.ndarray]) -> list[str]:
    """Return a line for each guide and regulariser.

    ``values`` are those of the cells for each phenotype. Raises ``DataError`` for a phenotype of
    which fewer than two classes occur.
    """
    lines = []
    for guide in guidance.guides:
        lines.append(f"{_guide(guide, values)}: {_terms(guide.terms)}")
        lines += [
            f"{guide.name}, {one.kind}: {_weight(one.schedule)}" for one in guide.regularizers
        ]
    if guidance.extra_rows is not None:
        rows = guidance.extra_rows
        lines.append(f"further rows: {len(rows.names)}, each with weight {rows.weight:g}")
    return lines


def _guide(guide: Guide, values: Mapping[str, np.ndarray]) -> str:
    if isinstance(guide, Signature):
        size, kind = f"{len(guide.targets)} genes", "signature"
    elif guide.categorical:
        size, kind = f"{len(class_numbers(guide, values[guide.name])[1])} classes", "phenotype"
    else:
        size, kind = f"{values[guide.name].shape[1]} columns", "phenotype"
    width = f" ({guide.dim})" if guide.dim else ""
    words = [size, f"{guide.head.kind} head on {' + '.join(guide.parts)}{width}"]
    if guide.adversarial is not None:
        words.append("gradient reversed" if guide.adversary == "reversed" else "head confused")
    if guide.detached:
        words.append("detached")
    if isinstance(guide, Signature) and guide.exclude_from_input:
        words.append("not among the inputs")
    if isinstance(guide, Signature) and guide.held_out:
        words.append(f"{len(guide.held_out)} more held out")
    return f"{kind} {guide.name} ({', '.join(words)})"


def _terms(terms: Mapping[str, WeightSchedule]) -> str:
    return "; ".join(f"{name} {_weight(one)}" for name, one in terms.items()) or "no loss"


def _weight(one: WeightSchedule) -> str:
    """Return a weight and its change, such as ``0 + 0.01 per epoch from 50, at most 1``."""
    text = f"{one.weight:g}"
    if one.step is not None:
        text += f" + {one.step:g} per epoch from {one.start_epoch}"
    elif one.growth is not None:
        text += f" × {one.growth:g} per epoch from {one.start_epoch}"
    return text if one.cap is None else f"{text}, at most {one.cap:g}"
