"""Base of the sets that are read from files their authors published."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from bench.config import default_cache
from bench.dataset import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class Published(Dataset):
    """A dataset whose ``card.files`` are looked for locally, else fetched, then read."""

    def __init__(self, params: Any = None, cache: Path | None = None) -> None:
        super().__init__(params)
        self.cache = cache or default_cache()

    def fingerprint(self) -> dict[str, Any]:
        """Return size and time of the files that lie in a folder of the user."""
        from .fetch import locate

        found = {file.name: locate(self.name, file, self.cache) for file in self.card.files}
        stats = {name: path.stat() for name, path in found.items() if path is not None}
        return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}

    def load(self) -> AnnData:
        """Fetch what is missing and return counts (cells × features) with labels in ``obs``.

        Raises ``DataError`` if a file can neither be found nor fetched, or is not what it was.
        """
        from .fetch import obtain

        return self.read(obtain(self.name, self.card.files, self.cache))

    @abstractmethod
    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the data out of the files, given by their names on the card."""
