"""``--params file.yaml``: parameters by method.

vae:
  n_latent: 24
  learning_rate: 0.002

A file written by a search also records how they were selected, so that results are marked:

search:
  protocol: holdout
  dataset: pbmc68k
  counts_digest: 5d41402abc4b2a76b9719d91
  labels_digest: 7d793037a0760186574b0282
  trials: {vae: 20}
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.digests import digest
from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.yaml_file import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.contract import Method
    from bench.data.cache.cached_dataset import CachedDataset

_SEARCH = "search"
"""The only key of a file that is not a method."""
_Text = Annotated[str, Field(min_length=1)]


class SearchOrigin(BaseModel):
    """How a search chose the parameters of a file.

    Parameters
    ----------
    protocol
        ``holdout``, ``unsupervised`` or ``oracle``.
    dataset
        Display name of the dataset.
    counts_digest, labels_digest
        Digests of the counts and of the true types of the dataset.
    trials
        Number of configurations among which the best was selected, by method.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    protocol: Literal["holdout", "unsupervised", "oracle"]
    dataset: _Text
    counts_digest: _Text
    labels_digest: _Text
    trials: dict[str, Annotated[int, Field(ge=1)]]


@dataclass(frozen=True)
class FileParameters:
    """The parameters of one method in a file."""

    path: Path
    values: dict[str, Any]
    search: SearchOrigin | None = None
    """The search that chose them; ``None``: set by hand."""

    @property
    def name(self) -> str:
        """Short name with a digest of the values: ``best-3f2a91``.

        The name for a search's result does not depend on the file: ``pbmc68k-oracle-3f2a91``.
        """
        origin = self.path.stem
        if self.search is not None:
            origin = f"{plain_name(self.search.dataset)}-{self.search.protocol}"
        return f"{origin}-{digest(self.values)[:6]}"

    def chosen_on(self, dataset: CachedDataset) -> bool:
        """Return whether a search selected the parameters on this dataset.

        Raises ``UsageError`` if counts or labels of the dataset have changed since the search.
        """
        search = self.search
        if search is None:
            return False
        same_counts = search.counts_digest == dataset.counts_digest
        same_labels = search.labels_digest == dataset.labels_digest
        if same_counts and (same_labels or search.protocol == "unsupervised"):
            return True
        if same_counts or search.dataset == dataset.label:
            part = "labels" if same_counts else "counts"
            raise UsageError(
                f"{self.path}: selected by a search on {search.dataset}, whose {part} differ "
                f"from those of {dataset.label}; search again with 'bench search'.",
                code="other_data",
            )
        return False


def plain_name(text: str) -> str:
    """Return a display name with letters, digits, ``.``, ``_`` and ``-`` only."""
    return "".join(c if c.isalnum() or c in "._-" else "_" for c in text)


def read_parameter_files(
    paths: Sequence[Path], known: Mapping[str, type[Method]]
) -> dict[str, FileParameters]:
    """Return the parameters by method name.

    Raises ``UsageError`` for an unknown method or parameter, an invalid value, a method in two
    files, or an incomplete description of a search.
    """
    parameters: dict[str, FileParameters] = {}
    for path in paths:
        content = read_yaml(path)
        search = _read_search(path, content)
        for method, values in content.items():
            if method not in known:
                hint = did_you_mean(str(method), list(known))
                raise UsageError(f"{path}: no method '{method}'.{hint}", code="unknown_name")
            if not isinstance(values, dict):
                raise UsageError(
                    f"{path}: {method}: expected parameters with their values.",
                    code="not_a_mapping",
                )
            if method in parameters:
                other = parameters[method].path
                raise UsageError(f"{path}: {method} is in {other}, too.", code="named_twice")
            known[method].Params.build(values, owner=f"{path}: {method}")
            parameters[method] = FileParameters(path, dict(values), search)
    return parameters


def _read_search(path: Path, content: dict[Any, Any]) -> SearchOrigin | None:
    """Remove the search from the content of a file and return it; ``None`` if there is none.

    Raises ``UsageError`` if a field is missing or invalid, or the methods differ.
    """
    if _SEARCH not in content:
        return None
    remedy = "use the file as 'bench search' wrote it, or search again"
    try:
        search = SearchOrigin.model_validate(content.pop(_SEARCH))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, (_SEARCH, *first["loc"])))
        reason = "is missing" if first["type"] == "missing" else f"is not valid ({first['msg']})"
        raise UsageError(f"{path}: {key} {reason}; {remedy}.", code="invalid_search") from None
    if set(search.trials) != set(content):
        names = ", ".join(map(str, sorted(set(search.trials) ^ set(content), key=str)))
        raise UsageError(
            f"{path}: search.trials and the parameters differ in the methods {names}; {remedy}.",
            code="invalid_search",
        )
    return search


def write_parameter_file(
    path: Path, params: Mapping[str, Mapping[str, Any]], search: SearchOrigin, comment: str
) -> None:
    """Write parameters by method for :func:`read_parameter_files`, completely or not at all."""
    import yaml

    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    content = {_SEARCH: search.model_dump()}
    content |= {name: dict(values) for name, values in params.items()}
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(lines + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    partial.replace(path)
