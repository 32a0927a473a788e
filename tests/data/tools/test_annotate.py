"""``bench data annotate`` on small files whose answers are worked out by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from typer.testing import CliRunner

from bench.cli.main import app
from bench.contract.multiome import pair_data, write_pair
from bench.data.tools.annotate import Window, annotate
from bench.data.tools.gene_positions import read_gene_positions
from bench.errors import BenchError

GENES = ["ABC1", "DEF2", "GHI3", "JKL4", "MNO5", "LOST6"]
PEAKS = ["chr1:10-14", "1-20-26", "chr2_0_4"]
BED = """chr1\t100\t101\tABC1\t.\t+\tprotein_coding
chr1\t90\t91\tABC1\t.\t+\tprotein_coding
chr2\t500\t501\tDEF2\t.\t-\tprotein_coding
chr2\t700\t701\tDEF2\t.\t-\tprotein_coding
1\t5\t6\tGHI3\t.\t+\tlincRNA
chrX\t10\t11\tJKL4\t.\t+\tprotein_coding
chrY\t10\t11\tJKL4\t.\t+\tprotein_coding
chrY\t30\t31\tJKL4\t.\t+\tprotein_coding
chr3\t1\t2\tMNO5\t.\t+\tprotein_coding
"""
GTF = "#!genome\n" + "".join(
    f'1\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\tgene_id "{name}.3"; gene_name "{symbol}";\n'
    for kind, start, end, strand, name, symbol in [
        ("gene", 1, 900, "+", "ENSG00000000001", "ABC1"),
        ("transcript", 91, 200, "+", "ENSG00000000001", "ABC1"),
        ("transcript", 101, 900, "+", "ENSG00000000001", "ABC1"),
        ("transcript", 400, 501, "-", "ENSG00000000002", "DEF2"),
        ("transcript", 400, 701, "-", "ENSG00000000002", "DEF2"),
    ]
)
#         0         1         2         3
#         0123456789012345678901234567890123456789
CHR1 = "AAAACCCCGGGGTTTTacgtACGTACGTAAAACCCCGGGG"
CHR2 = "ACGTACGTAC"


def pair(genes: list[str] = GENES, peaks: list[str] = PEAKS):
    rng = np.random.default_rng(0)

    def counts(names: list[str]) -> AnnData:
        adata = AnnData(sp.csr_matrix(rng.poisson(2.0, (12, len(names))).astype(np.float32)))
        adata.obs_names = [f"cell{n}" for n in range(12)]
        adata.var_names = names
        return adata

    return counts(genes), counts(peaks)


@pytest.fixture
def files(tmp_path: Path):
    rna, atac = pair()
    rna.write_h5ad(tmp_path / "rna.h5ad")
    atac.write_h5ad(tmp_path / "atac.h5ad")
    write_pair(pair_data(rna, atac), tmp_path / "pair.h5mu")
    (tmp_path / "tss.bed").write_text(BED)
    (tmp_path / "genome.fa").write_text(f">chr1 first\n{CHR1[:30]}\n{CHR1[30:]}\n>2\n{CHR2}\n")
    return tmp_path


def run(folder: Path, *names: str, **values):
    settings = {"tss": None, "genome": None, "window": Window(width=8), "out": folder / "out.h5mu"}
    paths = [folder / name for name in names or ("pair.h5mu",)]
    return annotate(paths, **settings | values)


@pytest.mark.parametrize("names", [("pair.h5mu",), ("rna.h5ad", "atac.h5ad")])
def test_features_are_matched_by_name(files: Path, names: tuple[str, ...], caplog):
    caplog.set_level("INFO", logger="bench")
    run(files, *names, tss=files / "tss.bed", genome=files / "genome.fa")
    import mudata

    made = mudata.read_h5mu(files / "out.h5mu")
    genes, peaks = made["rna"].var, made["atac"].var
    assert list(genes["chrom"]) == ["chr1", "chr2", "chr1", "chrY", "chr3", ""]
    assert list(genes["strand"]) == ["+", "-", "+", "+", "+", "."]
    assert list(genes["tss"]) == [90, 700, 5, 10, 1, -1]
    assert list(peaks["chrom"]) == ["chr1", "chr1", "chr2"]
    assert list(peaks["start"]) == [10, 20, 0]
    assert list(peaks["end"]) == [14, 26, 4]
    # centres 12, 23 and 2: bases 8 to 15, 19 to 26, and -2 to 5
    assert list(peaks["sequence"]) == [CHR1[8:16].upper(), CHR1[19:27].upper(), "NN" + CHR2[:6]]
    for text in ("5 of 6 genes found", "1 windows reach beyond", "1 genes of"):
        assert text in caplog.text


def test_the_window_may_begin_at_the_start(files: Path):
    made = run(files, genome=files / "genome.fa", window=Window("start", 5))
    assert list(made["atac"].var["sequence"]) == ["GGTTT", "ACGTA", "ACGTA"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_gtf_counts_from_one(files: Path, packed: bool):
    path = files / ("x.gtf.gz" if packed else "x.gtf")
    path.write_bytes(gzip.compress(GTF.encode()) if packed else GTF.encode())
    found = read_gene_positions(path)
    assert found.find("ABC1") == ("chr1", "+", 90)
    assert found.find("DEF2") == ("chr1", "-", 700)
    assert found.find("ENSG00000000002.17") == ("chr1", "-", 700)
    assert found.find("GHI3") is None


def test_statistics_of_variable_genes_are_those_of_the_counts(files: Path):
    rng = np.random.default_rng(1)
    rate = rng.gamma(0.5, 4.0, 200)
    rna = AnnData(sp.csr_matrix(rng.poisson(rate, (80, 200)).astype(np.float32)))
    rna.var_names = [f"G{n}A" for n in range(200)]
    atac = AnnData(sp.csr_matrix(np.ones((80, 3), dtype=np.float32)))
    atac.var_names = PEAKS
    write_pair(pair_data(rna, atac), files / "pair.h5mu")
    made = run(files)
    dense = rna.X.toarray()
    np.testing.assert_allclose(made["rna"].var["means"], dense.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(made["rna"].var["variances"], dense.var(axis=0, ddof=1), rtol=1e-5)
    assert (made["rna"].var["variances_norm"] >= 0).all()


# Each missing piece is one line.


def fails(folder: Path, code: str, *names: str, **values):
    with pytest.raises(BenchError) as error:
        run(folder, *names, **values)
    assert error.value.code == code
    assert "\n" not in str(error.value)


def with_pair(folder: Path, **values) -> Path:
    write_pair(pair_data(*pair(**values)), folder / "pair.h5mu")
    return folder


def test_peaks_whose_names_are_no_intervals(files: Path):
    with_pair(files, peaks=["chr1:1-5", "peak2", "peak3"])
    fails(files, "no_intervals")


def test_unequal_barcodes(files: Path):
    _, atac = pair()
    atac.obs_names = ["other" if n == 4 else name for n, name in enumerate(atac.obs_names)]
    atac.write_h5ad(files / "atac.h5ad")
    fails(files, "different_cells", "rna.h5ad", "atac.h5ad")


def test_a_contig_that_is_not_in_the_genome(files: Path):
    with_pair(files, peaks=["chr1:1-5", "chr9:1-5", "chr9:7-9"])
    fails(files, "wrong_genome", genome=files / "genome.fa")


def test_peaks_beyond_the_end_of_the_genome(files: Path):
    with_pair(files, peaks=["chr1:1-5", "chr2:1-11", "chr1:7-9"])
    fails(files, "wrong_genome", genome=files / "genome.fa")


def test_an_index_that_cannot_be_written(files: Path, monkeypatch: pytest.MonkeyPatch):
    import pyfaidx

    def refuse(self, *given, **more):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(pyfaidx.Faidx, "build_index", refuse)
    fails(files, "not_writable", genome=files / "genome.fa")


def test_a_gene_table_of_another_organism(files: Path):
    with_pair(files, genes=["Abcd", "Defg", "Ghij", "Klmn", "Opqr"])
    fails(files, "wrong_genome", tss=files / "tss.bed")


def test_no_gene_is_in_the_table(files: Path):
    with_pair(files, genes=["QQQ1", "RRR2"])
    fails(files, "missing_features", tss=files / "tss.bed")


def test_an_annotation_of_another_genome(files: Path):
    with_pair(files, peaks=["scaffold7:1-5", "scaffold8:1-5"])
    fails(files, "wrong_genome", tss=files / "tss.bed")


def test_an_empty_cell_is_logged(files: Path, caplog):
    rna, atac = pair()
    atac.X = sp.csr_matrix(np.vstack([np.zeros((1, 3)), np.ones((11, 3))]).astype(np.float32))
    write_pair(pair_data(rna, atac), files / "pair.h5mu")
    caplog.set_level("INFO", logger="bench")
    run(files)
    assert "(atac): 1 cells have no counts at all" in caplog.text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("chr1\t5\tx\n", "invalid_line"),
        ("chr1\t5\tnine\tABC1\t.\t+\n", "invalid_line"),
        ("", "empty_file"),
    ],
)
def test_an_invalid_table(files: Path, text: str, code: str):
    (files / "tss.bed").write_text(text)
    fails(files, code, tss=files / "tss.bed")


def test_the_name_of_the_result(files: Path):
    fails(files, "invalid_value", out=files / "out.h5ad")


def test_the_command_writes_the_file(files: Path):
    given = ["data", "annotate", str(files / "rna.h5ad"), str(files / "atac.h5ad"), "--tss",
             str(files / "tss.bed"), "--out", str(files / "made.h5mu")]  # fmt: skip
    ended = CliRunner().invoke(app, given)
    assert ended.exit_code == 0, ended.output
    assert (files / "made.h5mu").is_file()
    assert "12 cells, 6 genes, 3 peaks" in ended.output.replace("\n", " ")
