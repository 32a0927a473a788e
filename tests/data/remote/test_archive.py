"""Archives are unpacked whole, and nothing of them outside."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from bench.data.remote.archive import extract
from bench.errors import DataError


def make_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


GOOD = {"sub/b.txt": b"two", "a.txt": b"one"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_extract(tmp_path: Path, kind: str):
    archive = tmp_path / f"set.{kind}"
    if kind == "zip":
        make_zip(archive, GOOD)
    else:
        make_tar(archive, GOOD, "w" if kind == "tar" else "w:gz")
    folder = tmp_path / "out" / "set"
    files = extract(archive, folder)
    assert files == [folder / "a.txt", folder / "sub" / "b.txt"]
    assert files[1].read_bytes() == b"two"
    before = files[0].stat().st_mtime_ns
    assert extract(archive, folder) == files
    assert files[0].stat().st_mtime_ns == before
    files[0].unlink()
    assert extract(archive, folder) == files
    assert files[0].read_bytes() == b"one"


def test_a_changed_archive_is_unpacked_again(tmp_path: Path):
    extract(make_zip(tmp_path / "set.zip", GOOD), tmp_path / "out")
    files = extract(make_zip(tmp_path / "set.zip", {"new.txt": b"new"}), tmp_path / "out")
    assert [file.name for file in files] == ["new.txt"]
    assert not (tmp_path / "out" / "a.txt").exists()


@pytest.mark.parametrize(
    "name", ["../out.txt", "/outside/out.txt", "a/../../out.txt", "..\\out.txt"]
)
@pytest.mark.parametrize("make", [make_tar, make_zip])
def test_paths_that_point_outside_are_refused(tmp_path: Path, name: str, make: Any):
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = make(inner / "bad", {"good.txt": b"good", name: b"evil"})
    with pytest.raises(DataError) as error:
        extract(archive, inner / "out")
    assert error.value.code == "unsafe_archive"
    assert str(archive) in str(error.value)
    assert not (inner / "out").exists()
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes):
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(DataError) as error:
        extract(tmp_path / "bad.tar", tmp_path / "out")
    assert error.value.code == "unsafe_archive"


def test_links_in_a_zip_are_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(DataError) as error:
        extract(tmp_path / "bad.zip", tmp_path / "out")
    assert error.value.code == "unsafe_archive"


@pytest.mark.parametrize("make", [make_tar, make_zip])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_cut_archive_leaves_nothing(tmp_path: Path, make: Any, share: float):
    whole = make(tmp_path / "whole", {"a.bin": os.urandom(200_000), "b.bin": b"b" * 9})
    archive = tmp_path / "cut"
    archive.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(DataError) as error:
        extract(archive, tmp_path / "out")
    assert error.value.code == "damaged_archive"
    assert not list(tmp_path.glob("*out*/*"))
