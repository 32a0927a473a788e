"""YAML files that users write: read with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import UsageError


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping that a file holds; an empty file holds none.

    Raises ``UsageError`` if the file is not there, is no YAML or no mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise UsageError(f"{path}: not valid YAML: {line}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(f"{path}: expected methods with their parameters below them.")
    return content
