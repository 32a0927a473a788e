"""``bench push`` and ``bench pull``: folders, addresses of files and MLflow."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from _command import bench, bench_json, error_code
from _exchange import contents, make_result, rows_of
from _mlflow_server import MlflowServer


@pytest.fixture
def empty(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.slow)])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return (tmp_path / "shared" / "results").as_uri()
    if request.param == "s3":
        return str(request.getfixturevalue("bucket"))
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A folder of an empty bucket of an S3 server."""
    s3fs = pytest.importorskip("s3fs", reason="pip install s3fs 'moto[server]'")
    moto = pytest.importorskip("moto.server", reason="pip install s3fs 'moto[server]'")
    server = moto.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    name = f"bench-{uuid.uuid4().hex}"
    s3fs.S3FileSystem.clear_instance_cache()  # one of another server
    fsspec.filesystem("s3").mkdir(name)
    yield f"s3://{name}/benchmark"
    server.stop()


@pytest.fixture
def move(cache: Path) -> Callable[..., Any]:
    """Call ``push`` or ``pull`` of a results folder."""

    def go(verb: str, folder: Path, place: str, exit_code: int = 0) -> Any:
        words = ["--results", str(folder), "--cache-dir", str(cache)]
        return bench_json(verb, place, *words, exit_code=exit_code)

    return go


def test_only_what_is_missing_travels(
    address: str, written: Callable[..., Any], empty: Path, move: Callable[..., Any]
):
    own = written("own", make_result(0, 0.1), make_result(1, 0.2))
    before = contents(own.folder)
    first = move("push", own.folder, address)
    assert (first["copied"], first["not_taken"]) == (2, [])
    assert contents(own.folder) == before
    again = move("push", own.folder, address)
    assert (again["copied"], again["doubled"], again["bytes_sent"]) == (0, 2, 0)
    system, path = fsspec.core.url_to_fs(address)
    # Embedding and cells of both are the same bytes; the two logs differ.
    assert len(system.ls(f"{path}/files")) == 4
    assert len(system.ls(f"{path}/results")) == 2

    assert move("pull", empty, address)["copied"] == 2
    rows = rows_of(empty)
    assert {seed: row["kmeans/ari"] for seed, row in rows.items()} == {0: 0.1, 1: 0.2}
    assert (Path(rows[1]["artifacts"]) / "log.txt").read_text() == "seed 1\n"
    again = move("pull", empty, address)
    assert (again["copied"], again["doubled"]) == (0, 2)
    back = move("push", empty, address)
    assert (back["copied"], back["doubled"]) == (0, 2), "a result changed on its way"


def test_other_numbers_of_a_job_stand_beside_the_first(
    address: str, written: Callable[..., Any], empty: Path, move: Callable[..., Any]
):
    move("push", written("a", make_result(0, 0.1)).folder, address)
    assert move("push", written("b", make_result(0, 0.9)).folder, address)["copied"] == 1
    summary = move("pull", empty, address, exit_code=1)
    assert summary["copied"] == 1
    (found,) = summary["disagreements"]
    assert {found["kept"], found["other"]} == {0.1, 0.9}


def test_a_transfer_that_broke_off_is_made_whole(
    tmp_path: Path, written: Callable[..., Any], empty: Path, move: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    from bench.exchange.address import AddressTarget

    address = (tmp_path / "shared").as_uri()
    own = written("own", *(make_result(seed) for seed in range(3)))
    write, calls = AddressTarget._write, []

    def stop(self: Any, name: str, content: bytes) -> None:
        calls.append(name)
        if len(calls) == 3:  # bench.json, a record, and not the second one
            raise KeyboardInterrupt
        write(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(AddressTarget, "_write", stop)
        words = ["--results", str(own.folder)]
        assert bench("push", address, *words).exit_code == 130
    # What is cut off lies there under its name.
    cut = max((tmp_path / "shared" / "files").iterdir(), key=lambda path: path.stat().st_size)
    cut.write_bytes(cut.read_bytes()[:100])
    assert move("pull", empty, address, exit_code=3)["copied"] == 0
    assert move("push", own.folder, address)["copied"] == 2
    assert move("pull", empty, address)["copied"] == 3


def test_what_was_changed_at_an_address_is_not_taken(
    tmp_path: Path, written: Callable[..., Any], empty: Path, move: Callable[..., Any]
):
    shared = tmp_path / "shared"
    move("push", written("own", *(make_result(s) for s in range(4))).folder, shared.as_uri())
    records = sorted((shared / "results").iterdir())
    contents = [json.loads(path.read_text()) for path in records]
    contents[0]["result"]["metrics"]["kmeans/ari"] = 0.99  # another number under the old name
    contents[1]["files"]["../../planted.txt"] = contents[1]["files"]["log.txt"]
    contents[2]["files"]["log.txt"][1] = "../bench.json"
    log = contents[3]["files"]["log.txt"]
    (shared / "files" / log[1]).write_text("x" * log[0])
    for path, content in zip(records, contents, strict=True):
        path.write_text(json.dumps(content))
    summary = move("pull", empty, str(shared), exit_code=3)
    assert (summary["copied"], len(summary["not_taken"])) == (0, 4)
    assert not list(tmp_path.rglob("planted*"))


def test_a_results_folder_takes_results(
    tmp_path: Path, written: Callable[..., Any], empty: Path, move: Callable[..., Any]
):
    own = written("own", make_result(0, 0.1))
    assert move("push", own.folder, str(empty))["copied"] == 1
    assert rows_of(empty)[0]["kmeans/ari"] == 0.1
    assert move("pull", own.folder, str(empty))["doubled"] == 1


def test_mlflow_gives_and_takes_results(
    written: Callable[..., Any], empty: Path, move: Callable[..., Any], tmp_path: Path
):
    """By its client, on a database in place of a server."""
    own = written("own", make_result(0, 0.1), make_result(1, 0.2))
    assert move("pull", empty, f"sqlite:///{own.folder}/mlflow.db")["copied"] == 2
    row = rows_of(empty)[1]
    assert (Path(row["artifacts"]) / "log.txt").read_text() == "seed 1\n"
    assert json.loads(row["versions"]) == {"numpy": "1.0"}
    more = written("more", make_result(1, 0.2), make_result(2, 0.3))
    pushed = move("push", more.folder, f"sqlite:///{own.folder}/mlflow.db")
    assert (pushed["copied"], pushed["doubled"]) == (1, 1)
    assert sorted(rows_of(own.folder)) == [0, 1, 2]
    assert not (more.folder / "spool").is_dir() or not list((more.folder / "spool").iterdir())


@pytest.mark.slow
def test_a_server_gives_and_takes_results_over_http(
    written: Callable[..., Any], empty: Path, move: Callable[..., Any], tmp_path: Path
):
    server = MlflowServer(f"sqlite:///{tmp_path}/server.db", tmp_path)
    try:
        own = written("own", make_result(0, 0.1), make_result(1, 0.2))
        assert move("push", own.folder, server.address)["copied"] == 2
        again = move("push", own.folder, server.address)
        assert (again["copied"], again["doubled"]) == (0, 2)
        assert move("pull", empty, server.address)["copied"] == 2
        rows = rows_of(empty)
        assert {seed: row["kmeans/ari"] for seed, row in rows.items()} == {0: 0.1, 1: 0.2}
        assert (Path(rows[1]["artifacts"]) / "log.txt").read_text() == "seed 1\n"
        assert (rows[1]["cpu"], json.loads(rows[1]["versions"])) == ("A", {"numpy": "1.0"})
        other = written("other", make_result(1, 0.9), make_result(2, 0.3))
        pushed = move("push", other.folder, server.address, exit_code=1)
        assert (pushed["copied"], len(pushed["disagreements"])) == (1, 1)
        assert move("pull", empty, server.address)["copied"] == 1
    finally:
        server.kill()


def test_addresses_that_cannot_be_used(written: Callable[..., Any], tmp_path: Path):
    words = ["--results", str(written("own", make_result()).folder)]
    assert error_code(bench("pull", f"memory://{uuid.uuid4().hex}", *words)) == "no_results"
    assert error_code(bench("pull", "nowhere://x", *words)) == "unknown_name"
    assert error_code(bench("push", words[1], *words)) == "same_place"
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "bench.json").write_text('{"format": 99}')
    assert error_code(bench("pull", str(newer), *words)) == "other_versions"
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert error_code(bench("push", f"{blocked.as_uri()}/below", *words)) == "no_answer"


def test_a_missing_package_is_named_and_the_password_is_not(
    written: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    def missing(address: str) -> Any:
        raise ImportError("Install s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    words = ["--results", str(written("own", make_result()).folder)]
    ran = bench("push", "s3://key:pl4nted@bucket/results", *words)
    assert error_code(ran) == "missing_package"
    assert "pip install s3fs" in ran.stderr
    assert "pl4nted" not in ran.output + ran.stderr
