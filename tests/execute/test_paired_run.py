"""Paired data through a whole run: fit on the training cells, questions, scores, the table."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

SIM = "sim_multiome[n_cells=150,n_genes=80,n_peaks=200,n_types=3,separation=1.5]"


def test_a_run_asks_about_unseen_cells(results: Path, tmp_path: Path):
    from rich.console import Console

    from bench.cli.leaderboard import leaderboard_table
    from bench.execute.rescore import rescore_fits
    from bench.execute.run import run

    console = Console(file=StringIO(), width=200)
    settings = {"results": results, "cache_dir": tmp_path / "cache"}
    outcome = run(
        "cca[n_components=8],detection_rate,truth", SIM, seeds=2, jobs=1, report=False,
        console=console, **settings,
    )  # fmt: skip
    assert outcome.exit_code == 0, console.file.getvalue()
    rows = outcome.table.set_index(["method_name", "seed"]).sort_index()
    assert (rows["paired/match_auroc"][["cca", "detection_rate"]] > 0.3).all()
    assert (rows["paired/translation_auroc_genes"]["detection_rate"] == 0.5).all()
    assert rows["kmeans/ari"]["truth"].eq(1.0).all()
    assert np.isnan(rows["paired/foscttm"]["truth"]).all()
    assert "truth has no transform and was fitted on all cells" in rows["missing"]["truth"][0]
    # Both seeds of both methods were asked about the same pairs, unseen cells only.
    tables = [
        pd.read_parquet(Path(folder) / "paired" / "pairs.parquet")
        for folder in rows.loc[["cca", "detection_rate"], "artifacts"]
    ]
    for other in tables[1:]:
        pd.testing.assert_frame_equal(tables[0].drop(columns="score"), other.drop(columns="score"))
    assert "120 of 150 cells" in rows["notes"]["cca"][0]
    assert tables[0]["same"].sum() == 30 == (~tables[0]["same"]).sum()
    # Where nothing has changed, nothing is scored again.
    again = rescore_fits(None, None, "foscttm", console=console, **settings)
    assert (again.fits, again.current, again.problems) == (6, 6, [])
    stream = StringIO()
    Console(file=stream, width=200).print(leaderboard_table(outcome.table))
    assert "matching AUROC" in stream.getvalue()
