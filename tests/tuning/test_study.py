"""A study: distinct configurations, resumption, pruning, errors."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from bench.contract import Parameters, Search
from bench.errors import UsageError
from bench.plan.search_space import Space, make_space
from bench.tuning.objective import parse_objectives
from bench.tuning.samplers import check_pruner, check_sampler
from bench.tuning.search_options import SearchOptions
from bench.tuning.study import SpaceExhausted, Study, Trial
from bench.tuning.winner import best_trial


class Params(Parameters):
    rate: Annotated[float, Search(1e-4, 1e-2, log=True)] = Field(1e-3, gt=0)
    kind: Annotated[Literal["a", "b"], Search(choices=("a", "b"))] = "a"
    penalty: Annotated[float, Search(1e-5, 1e-2, log=True, zero=True)] = 0.0
    size: int = Field(10, ge=1)


class Small(Parameters):
    size: Annotated[int, Search(1, 5)] = Field(3, ge=1)


def space(params: type[Parameters] = Params, **changes: Any) -> Space:
    return make_space("m", params, params().resolved(), changes=changes)


def study(folder: Path, searched: Space | None = None, **options: Any) -> Study:
    options = {"trials": 100, "search_seed": 0} | options
    return Study("s", folder, searched or space(), SearchOptions(**options))


def score(params: dict[str, Any]) -> float:
    return params["rate"] * 100 + (params["kind"] == "b") + params["penalty"]


def run_trials(held: Study, n: int) -> list[dict[str, Any]]:
    for _ in range(n):
        trial = held.ask()
        held.tell(trial.number, "done", [score(trial.params)])
    return [trial.params for trial in held.trials()]


def test_the_default_comes_first_and_nothing_is_repeated(tmp_path):
    with study(tmp_path) as held:
        params = run_trials(held, 25)
    assert params[0] == Params().resolved()
    assert len({str(one) for one in params}) == 25


def test_every_input_of_fits_and_scores_changes_the_study(store, toy_counts, in_memory):
    """Trials of one study are compared: all of them must use the same inputs."""
    from bench.contract import Markers
    from bench.plan.methods import configure_methods
    from bench.registry import methods
    from bench.selectors import Selection
    from bench.settings import load_settings
    from bench.tuning.study_spec import make_study_spec

    settings = load_settings({})
    (one,), _ = configure_methods([Selection("pca", {}, True)], methods(), settings, [])
    data = store.load_dataset(in_memory(toy_counts), "code", "memory")
    facts = data.facts
    others = [
        replace(data, markers=Markers({"a": ("g1",)}, "here")),
        replace(data, markers=Markers({"a": ("g2",)}, "here")),
        *(replace(data, facts=facts | {name: "another"})
          for name in ("batch_digest", "proteins_digest", "train_digest")),
        replace(data, facts=facts | {"card": facts["card"] | {"rare_type": "a"}}),
    ]  # fmt: skip
    names = [
        make_study_spec(one, each, SearchOptions(trials=2), settings).name
        for each in (data, *others)
    ]
    assert len(set(names)) == len(names)
    assert make_study_spec(one, data, SearchOptions(trials=3), settings).name == names[0]


def test_a_resumed_study_equals_an_uninterrupted_one(tmp_path):
    with study(tmp_path / "one") as held:
        whole = run_trials(held, 18)
    for _ in range(3):
        with study(tmp_path / "parts") as held:
            parts = run_trials(held, 6)
    assert parts == whole


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_restarted_sampler_repeats_no_configuration(tmp_path, sampler):
    for _ in range(8):
        with study(tmp_path, sampler=sampler) as held:
            params = run_trials(held, 2)
    assert len({str(one) for one in params}) == 16


def test_a_small_space_is_exhausted(tmp_path):
    with study(tmp_path, space(Small)) as held:
        for _ in range(5):
            trial = held.ask()
            held.tell(trial.number, "done", [0.1 * trial.params["size"]])
        with pytest.raises(SpaceExhausted, match="after 5 trials"):
            held.ask()
        found = [trial.params["size"] for trial in held.trials()]
    assert sorted(found) == [1, 2, 3, 4, 5]
    assert found[0] == 3


def test_a_killed_driver_loses_no_trial(tmp_path):
    with study(tmp_path) as held:
        run_trials(held, 3)
        lost = held.ask()
        half = held._study.ask()  # killed before its parameters were drawn
        held.tell(held.ask().number, "failed", None, "no memory")
    with study(tmp_path) as held:
        assert [t.number for t in held.trials()] == [0, 1, 2, 3, 5]
        assert [(t.number, t.params) for t in held.interrupted_trials()] == [
            (lost.number, lost.params)
        ]
        held.tell(lost.number, "done", [0.5])
        assert held.interrupted_trials() == []
        assert [t.status for t in held.trials()] == ["done"] * 4 + ["failed"]
        assert held.trials()[3].values == (0.5,)
        assert half.number not in {t.number for t in held.trials()}


def test_a_driver_killed_before_the_first_trial_was_drawn(tmp_path):
    with study(tmp_path) as held:
        held._study.enqueue_trial(held.space.encode(Params().resolved()))
        held._study.ask()
    with study(tmp_path) as held:
        assert held.interrupted_trials() == []
        params = run_trials(held, 4)
    assert params[0] == Params().resolved()
    assert len({str(one) for one in params}) == 4


def test_half_a_line_and_a_stale_lock_are_removed(tmp_path):
    with study(tmp_path) as held:
        run_trials(held, 2)
    journal = tmp_path / "study.journal"
    with journal.open("ab") as stream:
        stream.write(b'{"op_code":5,"worker')
    Path(f"{journal}.lock").symlink_to(journal)
    with study(tmp_path) as held:
        assert len(run_trials(held, 2)) == 4
    with study(tmp_path) as held:
        assert len(held.trials()) == 4


@pytest.mark.parametrize("damage", [b"\xff\xfe not JSON", b"[1, 2]", b"{}"])
def test_a_damaged_journal_is_moved_aside(tmp_path, damage: bytes):
    with study(tmp_path) as held:
        run_trials(held, 2)
    journal = tmp_path / "study.journal"
    lines = journal.read_bytes().splitlines()
    lines[len(lines) // 2] = damage
    journal.write_bytes(b"\n".join(lines) + b"\n")
    with study(tmp_path) as held:
        assert held.journal_damaged
        assert held.trials() == []
    assert len(list(tmp_path.glob("study.journal.damaged-*"))) == 1


def test_a_second_driver_is_refused(tmp_path):
    with study(tmp_path):
        with pytest.raises(UsageError, match=r"process \d+ on .* is working on it") as error:
            study(tmp_path).__enter__()
        assert error.value.code == "study_locked"
    with study(tmp_path):
        pass


def test_a_database_is_locked_against_other_machines(tmp_path):
    import time

    url = f"sqlite:///{tmp_path / 'studies.db'}"
    with study(tmp_path / "here", storage=url) as held:
        run_trials(held, 2)
        elsewhere = {"who": "process 7 on mars", "host": "mars", "seen": time.time()}
        held._study.set_user_attr("driver", elsewhere)
        with pytest.raises(UsageError) as error:
            study(tmp_path / "there", storage=url).__enter__()
        assert error.value.code == "study_locked"
        held._study.set_user_attr("driver", elsewhere | {"seen": time.time() - 100})
        with study(tmp_path / "there", storage=url) as taken:
            assert len(taken.trials()) == 2


def test_a_default_outside_the_space_is_still_trial_0(tmp_path):
    with study(tmp_path, space(rate=Search(2e-3, 1e-2))) as held:
        first = held.ask()
        assert first.params == Params().resolved()
        held.tell(first.number, "done", [0.25])
        run_trials(held, 3)
        trials = held.trials()
    assert trials[0].values == (0.25,)
    assert trials[0].status == "done"
    assert min(t.params["rate"] for t in trials[1:]) >= 2e-3


def test_trials_are_pruned_by_their_losses(tmp_path):
    with study(tmp_path, pruner="median") as held:
        for number in range(6):
            trial = held.ask()
            judged = [
                held.should_prune(trial.number, s, 1.0 + number / 10 - s / 100) for s in range(9)
            ]
            assert not any(judged[:5])
            held.tell(trial.number, "done", [1.0])
        bad, good = held.ask(), held.ask()
        assert any(held.should_prune(bad.number, step, 5.0) for step in range(9))
        assert not any(held.should_prune(good.number, step, 0.1) for step in range(9))
        held.tell(bad.number, "pruned", None, "worse than the median")
        assert {t.number: t.status for t in held.trials()}[bad.number] == "pruned"


def test_the_grid_is_walked_once(tmp_path):
    one = space(rate=Search(choices=(1e-3, 1e-2)), penalty=None)
    for _ in range(2):
        with study(tmp_path, one, sampler="grid") as held:
            params = run_trials(held, 2)
    assert {(p["rate"], p["kind"]) for p in params} == {
        (1e-3, "a"), (1e-3, "b"), (1e-2, "a"), (1e-2, "b")
    }  # fmt: skip
    with (
        study(tmp_path, one, sampler="grid") as held,
        pytest.raises(SpaceExhausted, match="all 4"),
    ):
        held.ask()


@pytest.mark.parametrize("sampler", ["gp", "tpe", "random"])
def test_several_objectives(tmp_path, sampler):
    one = space(penalty=None)
    with study(tmp_path, one, sampler=sampler, objective="ari,seconds") as held:
        for _ in range(12):
            trial = held.ask()
            held.tell(trial.number, "done", [score(trial.params), trial.params["rate"]])
        assert all(len(t.values) == 2 for t in held.trials())


@pytest.mark.parametrize(
    ("sampler", "changes", "code"),
    [
        ("tpo", {}, "unknown_name"),
        ("gp", {}, "sampler_not_possible"),
        ("cmaes", {"penalty": None}, "sampler_not_possible"),
        ("cmaes", {"penalty": None, "kind": None}, "sampler_not_possible"),
        ("grid", {}, "unsupported_space"),
    ],
)
def test_errors_of_samplers(sampler, changes, code):
    with pytest.raises(UsageError) as error:
        check_sampler(sampler, space(**changes), 1)
    assert error.value.code == code


def test_pruning_takes_one_objective():
    check_pruner("median", 1)
    with pytest.raises(UsageError) as error:
        check_pruner("median", 2)
    assert error.value.code == "several_objectives"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:////nonexistent/folder/x.db", "unable to open database file"),
        ("studies.db", "Could not parse"),
        ("postgresql://me:secret@localhost:1/x", r"postgresql://\*\*\*@localhost:1/x"),
    ],
)
def test_an_unreachable_storage_is_one_line(tmp_path, url, message):
    with pytest.raises(UsageError, match=message) as error:
        study(tmp_path, storage=url).__enter__()
    assert error.value.code == "unreachable_storage"
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    with study(tmp_path):  # the lock is released
        pass


@pytest.mark.parametrize(
    ("text", "protocol", "code"),
    [
        ("arj", "holdout", "unknown_name"),
        ("ari", "unsupervised", "hidden_input"),
        ("kmeans/silhouette", "unsupervised", "hidden_input"),
        ("kmeans/n_clusters", "holdout", "no_direction"),
        ("embedding/ari", "holdout", "unknown_name"),
        ("paired/foscttm", "holdout", "report_cells"),
        ("ari,kmeans/ari", "holdout", "named_twice"),
    ],
)
def test_errors_of_objectives(text, protocol, code):
    with pytest.raises(UsageError) as error:
        parse_objectives(text, protocol)
    assert error.value.code == code


def test_objectives_by_protocol():
    assert [o.key for o in parse_objectives("", "holdout")] == ["kmeans/ari"]
    assert [o.key for o in parse_objectives("", "unsupervised")] == ["leiden/silhouette"]
    several = parse_objectives("nmi,seconds,loss", "oracle")
    assert [(o.key, o.maximize) for o in several] == [
        ("kmeans/nmi", True), ("seconds", False), ("held_out_loss", False)
    ]  # fmt: skip
    both = parse_objectives("thinned", "unsupervised")
    assert [(o.key, o.maximize) for o in both] == [("held_out_loss", False), ("stability", True)]


def test_thinned_counts_and_stability_are_ranked():
    """Lowest loss is least stable; the second best in both has the best mean rank."""
    trials = [
        Trial(number, {}, "done", values)
        for number, values in enumerate([(1.0, 0.2), (3.0, 0.9), (1.1, 0.8), (1.1, 0.7)])
    ]
    both = parse_objectives("thinned", "unsupervised")
    # Ranks of the losses 1, 4, 2.5, 2.5, of the stabilities 4, 1, 2, 3.
    assert best_trial(trials, both).number == 2
    assert best_trial(trials, parse_objectives("loss,seconds", "unsupervised")).number == 0
    assert best_trial([], both) is None


@pytest.mark.parametrize("patience", [60.0, -1.0])
def test_a_database_that_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: float
):
    """It is asked again for some time; then the search ends with one line."""
    monkeypatch.setattr("bench.tuning.study._GIVE_UP_SECONDS", patience)
    monkeypatch.setattr("bench.tuning.study.time.sleep", lambda _: None)
    failures = iter([sqlite3.OperationalError("gone")] * 2)

    def ask_twice() -> None:
        with study(tmp_path, storage=f"sqlite:///{tmp_path / 's.db'}") as held:
            held.ask()
            engine = held.optuna_study._storage._backend.engine
            connect = engine.dialect.connect

            def away(*arguments: Any, **options: Any) -> Any:
                for failure in failures:
                    raise failure
                return connect(*arguments, **options)

            monkeypatch.setattr(engine.dialect, "connect", away)
            engine.dispose()
            assert held.ask().number == 1

    if patience > 0:
        ask_twice()
    else:
        with pytest.raises(UsageError) as error:
            ask_twice()
        assert error.value.code == "unreachable_storage"
