"""Names of the results of a fit in AnnData."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class ResultKeys:
    """Keys of the embedding, UMAP and clusters of a fit.

    Parameters
    ----------
    embedding
        Key of ``obsm``, such as ``X_vae``.
    """

    embedding: str

    def __post_init__(self) -> None:
        if not self.embedding.strip() or "/" in self.embedding:
            raise UsageError(
                f"'{self.embedding}' is no key of an embedding; expected a name without '/', such "
                "as X_vae.",
                code="invalid_name",
            )

    @property
    def name(self) -> str:
        """The key without ``X_``, with which all other names end."""
        return self.embedding.removeprefix("X_")

    @property
    def umap(self) -> str:
        """Key of ``obsm`` of the UMAP."""
        return f"X_umap_{self.name}"

    def column(self, clustering: str) -> str:
        """Return the column of ``obs`` of a clustering."""
        return f"{clustering}_{self.name}"


def choose_keys(
    data: Any, method: str, clusterings: Iterable[str], key_added: str | None = None
) -> ResultKeys:
    """Return the keys for ``X_<method>``.

    If the data already have one of the keys, they are made from ``X_<method>_2``, ``_3`` and so
    on. ``key_added`` replaces ``X_<method>``, and existing results are overwritten. Raises
    ``UsageError``.
    """
    if key_added is not None:
        return ResultKeys(key_added)
    clusterings = list(clusterings)
    number, keys = 1, ResultKeys(f"X_{method}")
    while (
        keys.embedding in data.obsm
        or keys.umap in data.obsm
        or any(keys.column(name) in data.obs for name in clusterings)
    ):
        number += 1
        keys = ResultKeys(f"X_{method}_{number}")
    return keys
