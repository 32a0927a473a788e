"""What one process has read of source files."""

from __future__ import annotations

from bench import digests, registry, source_files


def forget_sources() -> None:
    """Read plugins and their files anew, as another process would."""
    for cached in (
        digests.source_digest, digests.source_files, source_files.package_versions,
        registry.load_plugin, registry.find_methods, registry.find_datasets,
    ):  # fmt: skip
        cached.cache_clear()
