"""``--params file.yaml``: parameters by method, such as the ``best.yaml`` that a search exports.

vae:
  n_latent: 24
  learning_rate: 0.002
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.digests import digest
from bench.errors import UsageError
from bench.messages import did_you_mean
from bench.yaml_file import read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.contract import Method


@dataclass(frozen=True)
class FileParameters:
    """The parameters of one method in a file."""

    path: Path
    values: dict[str, Any]

    @property
    def name(self) -> str:
        """Short name that differs for other values: ``best-3f2a91``."""
        return f"{self.path.stem}-{digest(self.values)[:6]}"


def read_parameter_files(
    paths: Sequence[Path], known: Mapping[str, type[Method]]
) -> dict[str, FileParameters]:
    """Return the parameters by method name.

    Raises ``UsageError`` for a method or parameter that does not exist, a value that is not
    valid, or a method that two files name.
    """
    parameters: dict[str, FileParameters] = {}
    for path in paths:
        for method, values in read_yaml(path).items():
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
            parameters[method] = FileParameters(path, dict(values))
    return parameters


def write_parameter_file(
    path: Path, params: Mapping[str, Mapping[str, Any]], comment: str
) -> None:
    """Write parameters by method for :func:`read_parameter_files`, whole or not at all."""
    import yaml

    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    text = yaml.safe_dump({name: dict(values) for name, values in params.items()}, sort_keys=False)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(lines + text, encoding="utf-8")
    partial.replace(path)
