"""The log of a job, while it grows and when it has ended."""

from __future__ import annotations

from _command import bench

from bench.cluster.job_log import new_text


def test_only_what_is_new_is_shown():
    assert new_text("", "one\n") == "one\n"
    assert new_text("one\n", "one\ntwo\n") == "two\n"
    long = "".join(f"line {number}\n" for number in range(200))
    assert new_text(long, long[500:] + "more\n") == "more\n"
    assert new_text(long, "other\n") == "other\n"


def test_the_log_of_a_job_that_has_ended(plan_array, work):
    folder = plan_array("crash", "toy", "--seeds", "1")
    work(folder, 1)
    shown = bench("status", str(folder), "--follow", "crash")
    assert shown.exit_code == 0
    assert "Segmentation fault" in shown.output
    assert "SIGSEGV" in shown.output
