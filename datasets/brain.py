"""Mouse brain: cortex and hippocampus, prefrontal cortex, hypothalamus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from bench.contract import Parameters

from ._fact_files import add_datasets
from ._published import Published

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData


class Zeisel(Published):
    """A table of genes × cells that begins with ten lines about the cells."""

    class Params(Parameters):
        """Level of the annotation."""

        level: Literal["level1", "groups", "level2"] = Field(
            "level1", description="7 classes, 9 groups or 47 subclasses"
        )

    params: Params

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts (3,005 × 19,972 in the published file)."""
        from ._brain import read_zeisel

        (path,) = files.values()
        return read_zeisel(path, self.params.level)


class Bhattacherjee(Published):
    """A table of genes × cells, and one of the cells."""

    class Params(Parameters):
        """Which cells, and which level of the annotation."""

        stage: Literal["adult", "P21", "all"] = Field("adult", description="age of the animals")
        level: Literal["class", "subtype"] = Field(
            "class", description="column CellType, or L2_clusters"
        )

    params: Params

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts of the cells of the chosen stage."""
        from ._brain import read_bhattacherjee

        matrix, annotation = files.values()
        return read_bhattacherjee(matrix, annotation, self.params.stage, self.params.level)


class Romanov(Published):
    """A table of genes × cells; eleven lines about the cells follow their names."""

    class Params(Parameters):
        """Level of the annotation."""

        level: Literal["level1", "level2"] = Field(
            "level1", description="7 classes, or the subclasses of the neurons"
        )

    params: Params

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts (2,881 × 24,341 in the published file at level1)."""
        from ._brain import read_romanov

        (path,) = files.values()
        return read_romanov(path, self.params.level)


class CellRangerFile(Published):
    """A matrix of Cell Ranger that stays in its file, and an archive with graph clusters."""

    def read(self, files: dict[str, Path]) -> AnnData:
        """Return the counts, with an ``X`` that reads its rows from the file when needed."""
        from ._tenx_h5 import read_clustered

        matrix, analysis = files.values()
        links = self.cache / "extracted" / self.name / "links.h5"
        return read_clustered(matrix, links, self.unpack(analysis), analysis)


add_datasets(__name__)
