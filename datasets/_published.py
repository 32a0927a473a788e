"""Base of the datasets that are read from files their authors published."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, ClassVar

from bench.contract import Dataset, FileLocation
from bench.data.remote.archive import extract
from bench.data.remote.local_files import locate_file
from bench.digests import digest
from bench.settings import default_cache_dir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from anndata import AnnData
    from mudata import MuData

    from bench.settings import Settings


class Published(Dataset):
    """A dataset whose ``card.files`` are looked for locally, else fetched, then read.

    Notes that ``read`` leaves in ``uns["bench_notes"]`` (cells dropped, say) are shown to users.
    """

    variants: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}
    """Facts of the card that a parameter changes: parameter, its value, field of the card."""
    options: ClassVar[Mapping[str, Any]] = {}
    """Class attributes that a YAML file sets."""

    def __init__(
        self,
        params: Any = None,
        cache: Path | None = None,
        *,
        mirror: str | None = None,
        offline: bool = False,
    ) -> None:
        super().__init__(params)
        self.cache = cache or default_cache_dir()
        self.mirror, self.offline = mirror, offline
        for parameter, choices in self.variants.items():
            self.card = replace(self.card, **choices.get(getattr(self.params, parameter), {}))

    def configure(self, settings: Settings) -> None:
        """Take cache folder, mirror and whether the network may be used."""
        self.cache, self.mirror = settings.cache_dir, settings.mirror
        self.offline = settings.offline

    def file_locations(self) -> list[FileLocation]:
        """Return where each file of the card lies."""
        return [locate_file(self.name, file, self.cache, self.mirror) for file in self.card.files]

    def fingerprint(self) -> dict[str, Any]:
        """Return a digest of all facts, and size and time of the files in a folder of the user.

        Downloads do not count: their content is fixed by the card or by the noted digest.
        """
        local = {
            location.file.name: location.path
            for location in self.file_locations()
            if location.path is not None and location.kind != "download"
        }
        stats = {name: path.stat() for name, path in local.items()}
        return {"facts": digest([asdict(self.card), dict(self.options)])} | {
            name: [str(local[name]), stat.st_size, stat.st_mtime_ns]
            for name, stat in stats.items()
        }

    def fetch(self) -> dict[str, Path]:
        """Fetch the files that are missing and return all by name; raises ``DataError``."""
        from bench.data.remote.fetch import get_files

        return get_files(
            self.name, self.card.files, self.cache,
            mirror=self.mirror, offline=self.offline)  # fmt: skip

    def load(self) -> AnnData | MuData:
        """Fetch what is missing and return counts (cells × features) with labels in ``obs``.

        Raises ``DataError`` if a file can neither be found nor fetched, or has changed.
        """
        data = self.read(self.fetch())
        self.notes = [str(line) for line in data.uns.pop("bench_notes", [])]
        return data

    def unpack(self, archive: Path) -> list[Path]:
        """Return the files in a tar or zip archive, unpacked in the cache folder."""
        return extract(archive, self.cache / "extracted" / self.name / archive.name)

    @abstractmethod
    def read(self, files: dict[str, Path]) -> AnnData | MuData:
        """Return the data of the files; ``files`` are paths by the names on the card."""
