"""Reading of YAML files written by users, with errors that name the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.errors import UsageError


def read_yaml(path: Path) -> dict[Any, Any]:
    """Return the mapping in a file; empty for an empty file.

    Raises ``UsageError`` if the file is missing or is not a YAML mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.", code="unreadable") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise UsageError(f"{path}: not valid YAML: {line}.", code="invalid_yaml") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(
            f"{path}: expected methods with their parameters below them.", code="invalid_yaml"
        )
    return content
