"""Methods that go wrong, each in its own way, and some that do not."""

from pydantic import Field

from bench.contract import ATAC, RNA, Fit, Method, Parameters


class Noop(Method):
    name = "noop"
    summary = "a random embedding"
    reference = "none"
    modalities = frozenset({RNA, ATAC})
    family = "control"

    def fit(self, data, context):
        import numpy as np

        rng = np.random.default_rng(context.seed)
        context.report(0, 1, loss=1.0)
        return Fit(rng.normal(size=(data.n_obs, 4)), labels={"half": np.arange(data.n_obs) % 2})


class Slow(Noop):
    name = "slow"

    class Params(Parameters):
        seconds: float = Field(1.0, ge=0)

    def fit(self, data, context):
        import time

        time.sleep(self.params.seconds)
        return super().fit(data, context)


class Crash(Noop):
    name = "crash"

    def fit(self, data, context):
        import ctypes

        ctypes.string_at(0)


class Leave(Noop):
    name = "leave"

    def fit(self, data, context):
        import os

        os._exit(7)


class Hang(Noop):
    name = "hang"

    def fit(self, data, context):
        import signal
        import subprocess
        import sys
        import time

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # A child of the child must not survive either.
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        while True:
            try:
                time.sleep(3600)
            except BaseException:
                continue


class Eat(Noop):
    name = "eat"

    def fit(self, data, context):
        import time

        import numpy as np

        hold = []
        while True:
            hold.append(np.ones(2**22))
            time.sleep(0.01)


class NaNs(Noop):
    name = "nans"

    def fit(self, data, context):
        import numpy as np

        return Fit(np.full((data.n_obs, 3), np.nan))


class Explode(Noop):
    name = "explode"

    def fit(self, data, context):
        context.report(0, 2, loss=1.0)
        context.report(1, 2, loss=float("inf"))


class Peek(Noop):
    name = "peek"

    def fit(self, data, context):
        return Fit(data.obs["cell_type"].to_numpy())


class WrongShape(Noop):
    name = "wrong_shape"

    def fit(self, data, context):
        import numpy as np

        return Fit(np.zeros((3, 2)))


class OddNames(Noop):
    """Sound, but its names are none that MLflow takes, and its numbers are NumPy's."""

    name = "odd_names"

    def fit(self, data, context):
        import numpy as np

        context.report(1, 1, **{"CD4+ (naive): loss": 0.5, "a/../b": 1.0, "a+..+b": 2.0})
        fit = super().fit(data, context)
        fit.n_parameters = np.prod((3, 4))
        fit.notes = {"chosen": np.int64(3)}
        fit.labels = {"k=5 (auto)": np.arange(data.n_obs) % 5}
        return fit


class Told(Noop):
    """Says what it was told, as its embedding."""

    name = "told"

    def needs(self):
        return frozenset({"n_clusters"})

    def fit(self, data, context):
        import numpy as np

        assert context.knowledge.labels is None
        return Fit(np.full((data.n_obs, 1), float(context.n_clusters)))


class Missing(Noop):
    name = "missing"
    requires = ("a_package_nobody_has",)
