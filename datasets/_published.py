"""Base of the sets that are read from files their authors published."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from bench.contract import Dataset, FileLocation
from bench.data.remote.fetch import extract, get_files, locate_file
from bench.settings import default_cache_dir

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from bench.settings import Settings


class Published(Dataset):
    """A dataset whose ``card.files`` are looked for locally, else fetched, then read.

    Lines that ``read`` leaves in ``uns["bench_notes"]`` (cells dropped, say) are shown to users.
    """

    def __init__(
        self,
        params: Any = None,
        cache: Path | None = None,
        *,
        mirror: str | None = None,
        offline: bool | None = None,
    ) -> None:
        super().__init__(params)
        self.cache = cache or default_cache_dir()
        self.mirror, self.offline = mirror, offline

    def configure(self, settings: Settings) -> None:
        """Take cache folder, mirror and whether the network may be used."""
        self.cache, self.mirror = settings.cache_dir, settings.mirror
        self.offline = settings.offline

    def file_locations(self) -> list[FileLocation]:
        """Return where each file of the card lies."""
        return [locate_file(self.name, file, self.cache, self.mirror) for file in self.card.files]

    def fingerprint(self) -> dict[str, Any]:
        """Return size and time of the files that lie in a folder of the user.

        Downloads do not count: their content is fixed by the card or by the noted digest.
        """
        found: dict[str, Any] = {}
        for held in self.file_locations():
            if held.path is not None and held.kind != "download":
                stat = held.path.stat()
                found[held.file.name] = [str(held.path), stat.st_size, stat.st_mtime_ns]
        return found

    def fetch(self) -> dict[str, Path]:
        """Fetch the files that are missing and return all by name; raises ``DataError``."""
        return get_files(
            self.name, self.card.files, self.cache,
            mirror=self.mirror, offline=self.offline)  # fmt: skip

    def load(self) -> AnnData | MuData:
        """Fetch what is missing and return counts (cells × features) with labels in ``obs``.

        Raises ``DataError`` if a file can neither be found nor fetched, or is not what it was.
        """
        adata = self.read(self.fetch())
        self.notes = [str(line) for line in adata.uns.pop("bench_notes", [])]
        return adata

    def unpack(self, archive: Path) -> list[Path]:
        """Return the files in a tar or zip archive, unpacked in the cache folder."""
        return extract(archive, self.cache / "extracted" / self.name / archive.name)

    @abstractmethod
    def read(self, files: dict[str, Path]) -> AnnData | MuData:
        """Return the data out of the files, given by their names on the card."""
