"""Weights over epochs, validation of guides, genes matched with features."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from bench.errors import UsageError
from bench.methods.sakura.guidance import (
    INVARIANT,
    Guidance,
    Phenotype,
    Signature,
    check_genes,
    drop_missing_genes,
)
from bench.methods.sakura.loss_terms import Head, Regularizer, WeightSchedule


def test_a_weight_rises_as_in_the_demonstration():
    ramp = WeightSchedule(0.0, start_epoch=50, step=0.01, cap=1.0)
    assert ramp.at(49) == 0
    assert ramp.at(86) == pytest.approx(0.37)
    assert ramp.at(1000) == 1.0
    assert WeightSchedule(1e-4, growth=1.01, cap=1.0).at(86) == pytest.approx(2.353e-4, rel=1e-3)


def test_a_weight_stays_within_its_bounds_and_settles():
    assert WeightSchedule(1.0, growth=0.5, floor=0.2).at(10) == 0.2
    assert WeightSchedule(5.0, start_epoch=10, cap=2.0).at(0) == 2.0
    assert WeightSchedule(1.0, growth=2.0).at(10**6) > 1e300
    ramp = WeightSchedule.ramp(2.0, 10, 20)
    assert (ramp.at(9), ramp.at(19), ramp.at(29)) == (0.0, pytest.approx(1.0), 2.0)
    assert ramp.settled(500) == 29
    assert WeightSchedule(1.0).settled(500) == 0
    assert WeightSchedule.ramp(2.0, 10, 0) == WeightSchedule(2.0)


SHORT = ("x",)
INVALID = [
    lambda: WeightSchedule(-1.0),
    lambda: WeightSchedule(1.0, step=1, growth=2),
    lambda: WeightSchedule(0.0, growth=1.5),
    lambda: WeightSchedule(1.0, cap=-1.0),
    lambda: Head("mlp", hidden=(4,)),
    lambda: Head(dropout_input=1.0),
    lambda: Regularizer("unifrom"),
    lambda: Regularizer("uniform", low=2.0, high=1.0),
    lambda: Regularizer("ring", labels="type"),
    lambda: Signature("a", ()),
    lambda: Signature("a", ("x", "x")),
    lambda: Signature("a", SHORT, held_out=SHORT),
    lambda: Signature("a", SHORT, held_out=("y",)),
    lambda: Signature("a", SHORT, terms={"cosin": 1}),
    lambda: Signature("a", SHORT, terms={"bce": 1}),
    lambda: Signature("a", SHORT, space="own"),
    lambda: Signature("a", SHORT, adversarial=1.0, detached=True),
    lambda: Signature("main", SHORT),
    lambda: Phenotype("a", "numerical", space="own", dim=0),
    lambda: Phenotype("a", "numerical", classes=("u",)),
    lambda: Phenotype("a", "categorical", keys=("u", "v")),
]


@pytest.mark.parametrize("make", INVALID)
def test_invalid_values_are_refused(make: Callable[[], object]):
    with pytest.raises(ValidationError):
        make()


@pytest.mark.parametrize(
    ("code", "signature", "phenotype"),
    [
        ("unknown_part", Signature("a", SHORT, space="b"), Phenotype("c", "numerical")),
        ("duplicate_names", Signature("a", SHORT), Phenotype("a", "numerical")),
        (
            "unknown_name",
            Signature("a", SHORT, regularizers=(Regularizer("uniform", labels="q"),)),
            Phenotype("c", "numerical"),
        ),
    ],
)
def test_guides_that_contradict_each_other_are_refused(
    code: str, signature: Signature, phenotype: Phenotype
):
    with pytest.raises(UsageError) as error:
        Guidance((signature,), (phenotype,))
    assert error.value.code == code


def test_an_unknown_gene_is_refused_with_similar_features():
    guidance = Guidance((Signature("cd8", ("CD8A", "CD8B")),))
    with pytest.raises(UsageError, match=r"signature 'cd8': gene 'CD8B'.*'CD8b1'") as error:
        check_genes(guidance, ["CD8A", "CD8b1", "ACTB"])
    assert error.value.code == "unknown_gene"
    check_genes(guidance, ["CD8B", "CD8A"])


def test_missing_genes_can_be_dropped_and_counted():
    guidance = Guidance(
        (Signature("cd8", ("CD8A", "CD8B"), held_out=("CD8B",)), Signature("nk", ("NCAM1",))),
    )
    reduced, notes = drop_missing_genes(guidance, ["CD8A", "ACTB"])
    assert [one.genes for one in reduced.signatures] == [("CD8A",)]
    assert reduced.signatures[0].held_out == ()
    assert any("signature 'cd8': 1 of 2 genes" in note for note in notes)
    assert any("signature 'nk': no gene is left" in note for note in notes)


def test_invariant_genes_become_an_adversarial_signature():
    guidance = Guidance(invariant_genes=("ACTB",))
    (only,) = guidance.all_signatures
    assert only.name == INVARIANT
    assert only.exclude_from_input
    assert only.adversarial == WeightSchedule(1.0)
    assert guidance.genes == ("ACTB",)
