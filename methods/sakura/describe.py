"""What a configuration would train, in words; nothing is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .guidance import Guidance, Phenotype, Signature
from .loss_terms import Schedule

if TYPE_CHECKING:
    from .original_config.main_config import Setup
    from .original_config.story import Training


def lines(setup: Setup) -> list[str]:
    """Return the network, each term with its weight over the epochs, splits, tasks and tables."""
    s = setup.settings
    found = [
        f"network: encoder {s.encoder_layers} × {s.hidden} (CELU), {s.n_latent} main dimensions "
        f"({s.latent_activation}), decoder {s.decoder_layers} layers of {s.decoder_hidden} "
        f"({s.output_activation} at the end)",
        f"reconstruction: {_terms(s.reconstruction)}",
    ]
    found += [f"main, {one.kind}: {_weight(one.schedule)}" for one in s.regularizers]
    found += guide_lines(setup.guidance)
    found += [f"split {name}: {int(mask.sum()):,} cells" for name, mask in setup.splits.items()]
    for number, training in enumerate(setup.story):
        found += _training(setup, training, number)
    return found


def _training(setup: Setup, training: Training, number: int) -> list[str]:
    """Return the tasks of a training, its length and the tables after it."""
    s, several = setup.settings, len(setup.story) > 1
    stage = f"stage {number + 1}, " if several else ""
    found = []
    for task in training.tasks:
        what = ["reconstruction"] if task.reconstruct else []
        for guide in task.guides:
            part = f" ({', '.join(task.terms[guide])})" if guide in task.terms else ""
            what.append(guide + part)
        found.append(
            f"{stage}task {task.name}: {', '.join(what)} on split {task.split}, "
            f"{task.batch_size} cells a batch, {setup.n_batches(task)} batches a pass"
            + (f", detached from {task.detach}" if task.detach != "none" else "")
        )
    length = f"{training.epochs} epochs" if training.epochs else f"{training.ticks:,} ticks"
    rest = f"{length}, rmsprop {s.learning_rate:g}/{s.alpha:g}"
    rest += ", goes on from stage " + str(number) if number else ""
    found.append(f"{stage}training: {training.schedule}, {rest}")
    found += [
        f"{stage}table {name}.csv: {', '.join(one.parts)} of split {one.split}"
        for after, name, one in setup.tables()
        if after == number
    ]
    return found


def guide_lines(guidance: Guidance) -> list[str]:
    """Return each guide with its terms, and how many further rows train."""
    found = []
    for guide in guidance.guides:
        found.append(f"{_what(guide)}: {_terms(guide.terms)}")
        found += [
            f"{guide.name}, {one.kind}: {_weight(one.schedule)}" for one in guide.regularizers
        ]
    if guidance.extra_rows is not None:
        rows = guidance.extra_rows
        found.append(f"further rows: {len(rows.names)}, each with weight {rows.weight:g}")
    return found


def _what(guide: Signature | Phenotype) -> str:
    size = (
        f"{len(guide.targets)} genes" if isinstance(guide, Signature)
        else f"{len(guide.classes)} classes" if guide.kind == "categorical"
        else f"{len(guide.columns)} columns"
    )  # fmt: skip
    words = [size, f"{guide.head.kind} head on {' + '.join(guide.parts)}{_dim(guide)}"]
    if guide.adversarial is not None:
        reversed_ = guide.adversary == "reversed"
        words.append("gradient reversed" if reversed_ else "head confused")
    if guide.detached:
        words.append("detached")
    if isinstance(guide, Signature) and guide.exclude_from_input:
        words.append("not among the inputs")
    if isinstance(guide, Signature) and guide.held_out:
        words.append(f"{len(guide.held_out)} more held out")
    kind = "signature" if isinstance(guide, Signature) else "phenotype"
    return f"{kind} {guide.name} ({', '.join(words)})"


def _dim(guide: Signature | Phenotype) -> str:
    return f" ({guide.dim})" if guide.dim else ""


def _terms(terms: object) -> str:
    assert isinstance(terms, dict)
    return "; ".join(f"{name} {_weight(one)}" for name, one in terms.items()) or "no loss"


def _weight(one: Schedule) -> str:
    """Return a weight and how it changes, such as ``0 + 0.01 per epoch from 50, at most 1``."""
    text = f"{one.weight:g}"
    if one.step is not None:
        text += f" + {one.step:g} per epoch from {one.start_epoch}"
    elif one.growth is not None:
        text += f" × {one.growth:g} per epoch from {one.start_epoch}"
    return text if one.cap is None else f"{text}, at most {one.cap:g}"
