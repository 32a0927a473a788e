"""Scores that others printed for clusters they distribute, recomputed with our metrics.

The benchmark of chromatin methods of Chen et al. 2019 (Genome Biology 20:241) distributes clusters
of 2,034 sorted blood progenitors and their scores, at github.com/pinellolab/scATAC-benchmarking,
folder ``Real_Data/Buenrostro_2018``. For the test of all clusters put these files into the folder
``BENCH_DATA_DIR/buenrostro2018_clusters``, names unchanged:

* ``input/metadata.tsv``, with the population of each cell,
* ``output/clusters/*_clusters.tsv``, 17 files with a column for each clustering.

The printed scores are those of ``output/metrics/clustering_scores.csv``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.scoring.metrics import metrics

CLUSTERINGS = ("louvain", "kmeans", "hc")
NAMES = ("ari", "ami", "homogeneity")
# ARI of the three clusterings, then AMI, then homogeneity, as printed.
PRINTED = """
BROCKMAN 0.11521276157265932 0.03298839486334379 0.03535066235157538
 0.2615933743519974 0.10398717504180578 0.1190184255408306
 0.2744678691045852 0.11573645299888509 0.13151731912600895
Cicero 0.09669001765308904 -0.003250615097244327 -0.0021532701132769
 0.1727261261223719 0.0026228431211069185 -0.0025355446289253695
 0.1801947362779685 0.006419329975019935 0.003359459720246316
Cicero_pca 0.2110671324899111 -0.001941638339500185 -0.0021532701132769
 0.373660063546105 -0.0027884129014307053 -0.0025355446289253695
 0.39743074426478886 0.003021875585198837 0.003359459720246316
Control 0.1824223379943895 0.013758604480892424 0.03441665293043462
 0.3724630479023279 0.02406303985320633 0.04499966317346017
 0.38414523109037896 0.02422912969700751 0.04441403769211024
Cusanovich2018 0.5336433941229122 -0.001941638339500185 -0.001941638339500185
 0.6638410052763645 -0.0027884129014307053 -0.0027884129014307053
 0.680402542789752 0.003021875585198837 0.003021875585198837
GeneScoring 0.04172565375370761 0.020822339071132137 0.0244347917889279
 0.11202149927892814 0.031597347051779315 0.040186752185306436
 0.12184733809419931 0.03494621603965734 0.04136663258566722
GeneScoring_pca 0.03066005202380004 0.024872969148232824 0.013516222501599154
 0.09516044247562176 0.036206190159700266 0.029881668799953406
 0.10723829806906579 0.03957305060680203 0.032258592885381625
SCRAT_motifs 0.05158737874927677 0.04059898801696191 0.03804918876744005
 0.14000828879844052 0.1018523807638621 0.10456051436337077
 0.15407489255620113 0.11502550381985865 0.11699891051000216
SCRAT_pca 0.04414177919515799 0.0392368414162022 0.04331179822520936
 0.11492904472844029 0.09895910715513287 0.11572825183443203
 0.1269792547204809 0.112534861985218 0.12950861061822097
Scasat 0.32021789591893624 0.15970020353948108 0.18860985465905683
 0.5195181642620081 0.30095093429899755 0.38388580432670233
 0.5380659719986324 0.3201498060986775 0.3970763770709635
SnapATAC 0.420340775805741 0.35329865048253406 0.44305613876785127
 0.6844988526911138 0.6050174394481675 0.6890806641871016
 0.6528146605473151 0.5896449577022141 0.64597426811752
chromVAR_kmers 0.389598182274684 0.27913276590005753 0.22158651982354283
 0.5441249318880128 0.4280856066568199 0.36253678624561636
 0.5558259597878333 0.40074077812076947 0.3077584891988505
chromVAR_kmers_pca 0.44323378362776317 0.26298490155572696 0.2703381395558791
 0.5695399399306165 0.42035843336236917 0.43466366539199173
 0.5908459441674226 0.3778816551177573 0.38646917777786494
chromVAR_motifs 0.3448840225426395 0.24345810978959703 0.3077774193443375
 0.5160436166287578 0.41598393149839463 0.43202327134473306
 0.5332903535771082 0.4148719821491349 0.40744452652694024
chromVAR_motifs_pca 0.3084430720671709 0.25618535232378825 0.2948657565047379
 0.516458517932299 0.4102290205771681 0.43911040380813765
 0.5343530564316473 0.4075462159977191 0.4128252187583821
cisTopic 0.6412393389371375 0.49847706503443 0.5170102347122907
 0.7194156231737795 0.6575227532958956 0.6612357744325807
 0.7252002124682254 0.681288003033932 0.6826970209147908
scABC 0.04503370791051734 0.01270838621268052 0.02480510077835589
 0.12754018936480746 0.02392573203805276 0.04332457554676531
 0.13236584105085078 0.024873970317996826 0.043171993000847744
"""


def printed_scores():
    """Return the printed scores by feature matrix, metrics × clusterings."""
    lines = PRINTED.replace("\n ", " ").split("\n")
    rows = [line.split() for line in lines if line]
    return {name: np.array(values, dtype=float).reshape(3, 3) for name, *values in rows}


def recomputed_scores(folder, name):
    """Return our scores of the clusters in a file, metrics × clusterings."""
    clusters = pd.read_csv(folder / f"{name}_clusters.tsv", sep="\t", index_col=0)
    # The header of the populations names one column of two.
    types = pd.read_csv(folder / "metadata.tsv", sep="\t", index_col=0).loc[clusters.index]
    labels = types["label"].astype(str).to_numpy()
    return np.array([
        [metrics()[metric].function(labels, clusters[column].to_numpy()) for column in CLUSTERINGS]
        for metric in NAMES
    ])  # fmt: skip


def test_scores_of_the_distributed_clusters():
    folder = Path(os.environ.get("BENCH_DATA_DIR", "")) / "buenrostro2018_clusters"
    if not folder.is_dir():
        pytest.skip("no clusters in BENCH_DATA_DIR/buenrostro2018_clusters (see the module)")
    for name, expected in printed_scores().items():
        found = recomputed_scores(folder, name)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9, err_msg=name)


def test_scores_of_nine_cells_apart():
    """The k-means clusters of Cusanovich2018 can be told from the scores and the populations.

    Of all choices of nine cells, each a cluster of its own beside the rest, only nine CMP give the
    printed homogeneity. ARI and AMI, which did not choose them, then agree as well.
    """
    sizes = {"HSC": 347, "MPP": 142, "LMPP": 160, "CMP": 502, "GMP": 402, "MEP": 138, "CLP": 78,
             "mono": 64, "pDC": 141, "UNK": 60}  # fmt: skip
    types = np.repeat(list(sizes), list(sizes.values()))
    clusters = np.zeros(2034, dtype=int)
    clusters[np.flatnonzero(types == "CMP")[:9]] = np.arange(1, 10)
    found = [metrics()[name].function(types, clusters) for name in NAMES]
    expected = printed_scores()["Cusanovich2018"][:, CLUSTERINGS.index("kmeans")]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_files_of_this_format(tmp_path):
    cells = ["BM-1", "BM-2", "BM-3", "BM-4", "BM-5", "BM-6"]
    populations = dict(zip(cells, ["HSC", "HSC", "HSC", "CMP", "CMP", "CMP"], strict=True))
    # Other order than the clusters.
    rows = [f"{cell}\t{populations[cell]}\n" for cell in reversed(cells)]
    (tmp_path / "metadata.tsv").write_text("label\n" + "".join(rows))
    clusters = ["0\t0\t1", "0\t0\t1", "1\t0\t1", "1\t1\t0", "2\t1\t0", "2\t1\t0"]
    rows = [f"{cell}\t{row}\n" for cell, row in zip(cells, clusters, strict=True)]
    (tmp_path / "tiny_clusters.tsv").write_text("\tlouvain\tkmeans\thc\n" + "".join(rows))
    found = recomputed_scores(tmp_path, "tiny")
    # Louvain: 2 pairs together in both, 6 and 3 in one, of 15; expected 6 * 3 / 15 = 1.2.
    assert found[0] == pytest.approx([(2 - 1.2) / ((6 + 3) / 2 - 1.2), 1.0, 1.0])
    assert found[1, 1:] == pytest.approx([1.0, 1.0])
    # Homogeneity: a third of the cells is in a cluster of both populations, entropy log 2.
    assert found[2] == pytest.approx([2 / 3, 1.0, 1.0])
