"""First uses of libraries, made once in the process server instead of in each of its children.

Many libraries look for plugins and import parts of themselves when they are first used. Nothing
here may start a thread, which a fork would lose.
"""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import sklearn.utils

from bench.scoring.metrics import built_in_metrics, installed_metrics

built_in_metrics()
installed_metrics()
sklearn.utils.check_array(np.zeros((2, 2)))
pd.DataFrame({"a": [0.0]}, index=["b"]).to_parquet(io.BytesIO())
