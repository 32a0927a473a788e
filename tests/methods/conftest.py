from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData


@pytest.fixture
def cells() -> AnnData:
    """80 cells × 30 genes of counts with a state, partly "other", and an age."""
    rng = np.random.default_rng(0)
    adata = AnnData(sp.csr_matrix(rng.poisson(1.0, (80, 30)).astype(np.float32)))
    adata.obs_names = [f"cell{n}" for n in range(80)]
    adata.var_names = [f"gene{n}" for n in range(30)]
    adata.obs["state"] = np.array(["a", "b", "c", "other"])[np.arange(80) % 4]
    adata.obs["age"] = rng.normal(size=80)
    return adata
