"""The CUDA path of the networks; skipped where there is no such device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anndata import AnnData
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from bench.apply.estimator import Estimator
from bench.contract import ATAC, RNA
from bench.registry import methods

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")

NAMES = [
    entry.name
    for entry in methods()
    if entry.cls is not None and entry.cls.gpu and not entry.unavailable
]


def fitted(name: str, modality: str, data: AnnData, device: str, **values: object) -> Estimator:
    cls = methods().get(name)
    small = {"hidden": "16", "n_latent": 5, "low": 0.0, "high": 1.0, "learning_rate": 0.01}
    # Each method takes those of them that it has.
    known = {key: v for key, v in (small | values).items() if key in cls.Params.model_fields}
    params = cls.Params.build(known, owner=name)
    return Estimator(cls(params), device=device).fit(data, modality=modality, n_clusters=3)


@pytest.mark.parametrize("name", NAMES)
def test_cuda_finds_the_types_and_repeats(name: str, toy_counts: AnnData):
    modality = RNA if RNA in methods().get(name).modalities else ATAC
    first, again = (fitted(name, modality, toy_counts, "cuda", max_epochs=100) for _ in range(2))
    assert np.isfinite(first.embedding_).all()
    np.testing.assert_allclose(first.embedding_, again.embedding_, rtol=1e-3, atol=1e-4)
    if modality == RNA:
        found = KMeans(3, n_init=10, random_state=0).fit_predict(first.embedding_)
        assert adjusted_rand_score(toy_counts.obs["cell_type"], found) > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_model_from_cuda_is_read_without_it(name: str, toy_counts: AnnData, tmp_path):
    modality = RNA if RNA in methods().get(name).modalities else ATAC
    on_gpu = fitted(name, modality, toy_counts, "cuda", max_epochs=2)
    on_gpu.method.save(tmp_path)
    cls = methods().get(name)
    loaded = cls(on_gpu.method.params)
    loaded.load(tmp_path)
    np.testing.assert_allclose(
        loaded.transform(on_gpu.prepared_), on_gpu.embedding_, rtol=1e-3, atol=1e-3
    )


def test_global_cuda_state_is_left_alone(toy_counts: AnnData):
    torch.cuda.manual_seed(1)
    before = torch.cuda.get_rng_state()
    fitted("vae", RNA, toy_counts, "cuda", max_epochs=1)
    assert torch.equal(before, torch.cuda.get_rng_state())
