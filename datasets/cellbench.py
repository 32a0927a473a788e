"""Mixtures of cell lines by several protocols: labels known from the genotype."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from bench.contract import Parameters

from ._published import Published, add_datasets


def readers() -> ModuleType:
    """Return the functions that read these sets."""
    from . import _cellbench

    return _cellbench


class CellBench(Published):
    """The runs of a design and protocol."""

    class Params(Parameters):
        """Design and protocol."""

        design: Literal["3cl", "5cl"] = Field("3cl", description="three or five cell lines")
        protocol: Literal["all", "10x", "celseq2", "dropseq"] = Field(
            "all", description="all protocols of the design, or one"
        )

        @model_validator(mode="after")
        def _check_protocol(self) -> Self:
            if self.design == "5cl" and self.protocol == "dropseq":
                raise ValueError("design 5cl has no dropseq; it has 10x, celseq2")
            return self

    params: Params

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        prefix = "sc_" if self.params.protocol == "all" else f"sc_{self.params.protocol}"
        files = tuple(file for file in self.card.files if file.name.startswith(prefix))
        self.card = replace(
            self.card,
            files=files,
            batch_key="batch" if len(files) > 2 else None,
            verified=all(file.checksum for file in files),
        )


add_datasets(__name__, readers, CellBench)
