"""What a user knows: weights over epochs, validation, genes matched with features."""

from __future__ import annotations

import pytest

from bench.errors import UsageError
from bench.methods.sakura.guidance import INVARIANT, Guidance, Phenotype, Signature, resolve
from bench.methods.sakura.loss_terms import Head, Regularizer, Schedule


def test_a_weight_rises_as_in_the_demonstration():
    ramp = Schedule(0.0, start_epoch=50, step=0.01, cap=1.0)
    assert ramp.at(49) == 0
    assert ramp.at(86) == pytest.approx(0.37)
    assert ramp.at(1000) == 1.0
    assert Schedule(1e-4, growth=1.01, cap=1.0).at(86) == pytest.approx(2.353e-4, rel=1e-3)


def test_a_weight_stays_within_its_bounds_and_settles():
    assert Schedule(1.0, growth=0.5, floor=0.2).at(10) == 0.2
    assert Schedule(5.0, start_epoch=10, cap=2.0).at(0) == 2.0
    assert Schedule(1.0, growth=2.0).at(10**6) > 1e300
    ramp = Schedule.ramp(2.0, 10, 20)
    assert (ramp.at(9), ramp.at(19), ramp.at(29)) == (0.0, pytest.approx(1.0), 2.0)
    assert ramp.settled(500) == 29
    assert Schedule(1.0).settled(500) == 0
    assert Schedule.ramp(2.0, 10, 0) == Schedule(2.0)


WRONG = {
    "weight": lambda: Schedule(-1.0),
    "step \\(a sum\\) and growth": lambda: Schedule(1.0, step=1, growth=2),
    "growth=1.5 leaves": lambda: Schedule(0.0, growth=1.5),
    "hidden has 1 widths, layers=3 needs 2": lambda: Head("mlp", hidden=(4,)),
    "dropout_input": lambda: Head(dropout_input=1.0),
    "Did you mean 'uniform'": lambda: Regularizer("unifrom"),
    "low=2.0": lambda: Regularizer("uniform", low=2.0, high=1.0),
    "signature 'a': genes is empty": lambda: Signature("a", ()),
    "'x' more than once": lambda: Signature("a", ("x", "x")),
    "held_out leaves no gene": lambda: Signature("a", ("x",), held_out=("x",)),
    "held_out: 'y'": lambda: Signature("a", ("x",), held_out=("y",)),
    "no loss 'cosin'. Did you mean 'cosine'": lambda: Signature("a", ("x",), terms={"cosin": 1}),
    "bce needs binarize": lambda: Signature("a", ("x",), terms={"bce": 1}),
    "space='own' needs dim": lambda: Signature("a", ("x",), space="own"),
    "dim=0": lambda: Phenotype("a", "numerical", space="own", dim=0),
    "exclude each other": lambda: Signature("a", ("x",), adversarial=1.0, detached=True),
    "choose another": lambda: Signature("main", ("x",)),
    "classes and class_weight": lambda: Phenotype("a", "numerical", classes=("u",)),
    "a categorical one has one": lambda: Phenotype("a", "categorical", keys=("u", "v")),
    "space: 'b' has no dimensions": lambda: Guidance((Signature("a", ("x",), space="b"),)),
    "'a' is given to more than one": lambda: Guidance(
        (Signature("a", ("x",)),), (Phenotype("a", "numerical"),)
    ),
    "no categorical phenotype 'q'": lambda: Guidance(
        (Signature("a", ("x",), regularizers=(Regularizer("uniform", labels="q"),)),)
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_named_in_one_line(message: str):
    with pytest.raises(UsageError, match=message) as raised:
        WRONG[message]()
    assert "\n" not in str(raised.value)


def test_an_unknown_gene_is_named_with_similar_ones():
    guidance = Guidance((Signature("cd8", ("CD8A", "CD8B")),))
    with pytest.raises(UsageError, match=r"signature 'cd8': gene 'CD8B'.*'CD8b1'"):
        resolve(guidance, ["CD8A", "CD8b1", "ACTB"])
    assert resolve(guidance, ["CD8B", "CD8A"]) == (guidance, [])


def test_missing_genes_can_be_dropped_and_counted():
    guidance = Guidance(
        (Signature("cd8", ("CD8A", "CD8B"), held_out=("CD8B",)), Signature("nk", ("NCAM1",))),
        invariant_genes=("ACTB", "XIST"),
    )
    left, notes = resolve(guidance, ["CD8A", "ACTB"], missing="drop")
    assert [one.genes for one in left.signatures] == [("CD8A",)]
    assert left.signatures[0].held_out == ()
    assert left.invariant_genes == ("ACTB",)
    assert any("signature 'cd8': 1 of 2 genes" in note for note in notes)
    assert any("signature 'nk': no gene is left" in note for note in notes)


def test_invariant_genes_become_an_adversarial_signature():
    guidance = Guidance(invariant_genes=("ACTB",))
    (only,) = guidance.all_signatures
    assert only.name == INVARIANT
    assert only.exclude_from_input
    assert only.adversarial == Schedule(1.0)
    assert guidance.genes == ("ACTB",)
