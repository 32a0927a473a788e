"""States of tasks with and without SLURM's accounts."""

from __future__ import annotations

import pytest

from bench.cluster import slurm_states
from bench.cluster.slurm_states import GONE, cancel_arrays, query_states

TASKS = ["7_1", "7_2", "7_3", "7_4", "7_5"]
SACCT = "7_1|COMPLETED\n7_2|CANCELLED by 1000\n7_[4-5]|PENDING\n7_3|OUT_OF_ME+\n"
SQUEUE = "7_2|RUNNING\n7_[4-5%2]|PENDING\n9|RUNNING\n"
SCONTROL = (
    "JobId=31 ArrayJobId=7 ArrayTaskId=1 JobName=bench JobState=COMPLETED Reason=None\n"
    "JobId=32 ArrayJobId=7 ArrayTaskId=2 JobName=bench JobState=RUNNING Reason=None\n"
)


@pytest.fixture
def answers(monkeypatch):
    """Answers of the commands of SLURM, ``None`` of one that fails."""

    def give(**texts: str | None) -> None:
        monkeypatch.setattr(slurm_states, "_run", lambda name, *_: texts.get(name))

    return give


def test_accounts_know_all(answers):
    answers(sacct=SACCT)
    states = query_states(TASKS)
    assert (states["7_1"], states["7_2"], states["7_5"]) == ("COMPLETED", "CANCELLED", "PENDING")
    assert states["7_1"] in slurm_states.ENDED_STATES


def test_without_accounts_the_queue_is_asked(answers):
    answers(sacct=None, squeue=SQUEUE, scontrol=SCONTROL)
    assert query_states(TASKS) == {
        "7_1": "COMPLETED", "7_2": "RUNNING", "7_3": GONE, "7_4": "PENDING", "7_5": "PENDING",
    }  # fmt: skip


def test_a_scheduler_that_does_not_answer_ends_no_task(answers):
    answers()
    assert query_states(TASKS) == {}


def test_whole_arrays_are_cancelled(monkeypatch):
    calls = []
    monkeypatch.setattr(slurm_states, "_run", lambda *words: calls.append(words))
    cancel_arrays(["7_1", "9_3", "7_2"])
    cancel_arrays([])
    assert calls == [("scancel", "7", "9")]
