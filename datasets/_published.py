"""Base of the sets that are read from files their authors published."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from bench.config import default_cache
from bench.dataset import Dataset

from .fetch import Say, extract, obtain, quiet, state_of

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class Published(Dataset):
    """A dataset whose ``card.files`` are looked for locally, else fetched, then read."""

    def __init__(
        self,
        params: Any = None,
        cache: Path | None = None,
        *,
        mirror: str | None = None,
        offline: bool | None = None,
        say: Say = quiet,
    ) -> None:
        super().__init__(params)
        self.cache = cache or default_cache()
        self.mirror, self.offline, self.say = mirror, offline, say

    def fingerprint(self) -> dict[str, Any]:
        """Return size and time of the files that lie in a folder of the user.

        Downloads do not count: their content is fixed by the card or by the noted digest.
        """
        found: dict[str, Any] = {}
        for file in self.card.files:
            kind, path = state_of(self.name, file, self.cache, self.mirror)
            if path is not None and kind != "download":
                stat = path.stat()
                found[file.name] = [str(path), stat.st_size, stat.st_mtime_ns]
        return found

    def load(self) -> AnnData:
        """Fetch what is missing and return counts (cells × features) with labels in ``obs``.

        Raises ``DataError`` if a file can neither be found nor fetched, or is not what it was.
        """
        return self.read(
            obtain(
                self.name, self.card.files, self.cache,
                mirror=self.mirror, offline=self.offline, say=self.say,
            )
        )  # fmt: skip

    def unpack(self, archive: Path) -> list[Path]:
        """Return the files in a tar or zip archive, unpacked in the cache folder."""
        return extract(archive, self.cache / "extracted" / self.name / archive.name)

    @abstractmethod
    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the data out of the files, given by their names on the card."""
