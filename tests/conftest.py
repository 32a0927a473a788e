from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bench.settings import default_cache_dir

# Before numpy and torch are imported: threads only get in each other's way on small data. Numba
# counts too: after a UMAP its number is that of every library of the process.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# UMAP compiles functions when it is imported; tests with a cache of their own share them.
os.environ.setdefault("NUMBA_CACHE_DIR", str(default_cache_dir() / "numba"))

# make test-all takes more examples (--hypothesis-profile thorough). Busy machines are slow.
_EXAMPLES = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("quick", max_examples=25, **_EXAMPLES)
settings.register_profile("thorough", max_examples=100, **_EXAMPLES)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real labelled datasets; skips where it is not there."""
    folder = os.environ.get("BENCH_DATA_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("BENCH_DATA_DIR is not set: no real datasets to test on")
    return Path(folder)


@pytest.fixture(scope="session")
def toy_counts():
    """60 cells × 40 genes of counts with three types, AnnData with obs['cell_type']."""
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    rng = np.random.default_rng(0)
    types = np.repeat(["a", "b", "c"], 20)
    rate = np.full((60, 40), 1.0)
    for number, name in enumerate("abc"):
        rate[types == name, number * 10 : number * 10 + 10] = 6.0
    adata = AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)))
    adata.obs_names = [f"cell{i}" for i in range(60)]
    adata.var_names = [f"gene{i}" for i in range(40)]
    adata.obs["cell_type"] = types
    return adata


@pytest.fixture
def in_memory():
    """A class of datasets: ``in_memory(adata)`` hands out copies and counts its ``loads``."""
    from bench.contract import Card, Dataset

    class Memory(Dataset):
        name = "memory"
        card = Card("rna", "in memory", label_key="cell_type")

        def __init__(self, adata) -> None:
            super().__init__()
            self.adata, self.loads = adata, 0

        def load(self):
            self.loads += 1
            return self.adata.copy()

    return Memory


@pytest.fixture
def store(tmp_path: Path):
    """A store of data in an empty folder."""
    from bench.data.cache.data_cache import DataCache

    return DataCache(tmp_path / "cache")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its schema and nothing else: making one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for prepared data."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def loader(tmp_path: Path):
    """Make the loader of a set, with a cache of its own."""
    from bench.registry import datasets

    def make(name: str, **params: str):
        cls = datasets().get(name)
        built = cls.Params.build(params, owner=name)
        return cls(built, cache=tmp_path / "cache", offline=True)

    return make


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    """A web server that serves, breaks off and delays as a test asks."""
    caplog.set_level("INFO", logger="bench")
    from _served import Server

    from bench.data.remote import download

    monkeypatch.setattr(download, "PAUSE", 0.01)
    for name in ("BENCH_DATA_DIR", "BENCH_MIRROR", "BENCH_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()
