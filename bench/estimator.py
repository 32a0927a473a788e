"""A method as a plain estimator, without the harness: ``bench.estimator("vae").fit(adata)``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bench.errors import UsageError
from bench.markers import among
from bench.method import RNA, Context, Knowledge, Method
from bench.pairs import cells_of, describe_data, prepare_data
from bench.progress import Curves, Listener
from bench.stored import proteins_of

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from mudata import MuData


class Estimator:
    """Wrap a method: ``fit(adata)`` prepares and fits, then see the attributes.

    After ``fit``: ``fit_`` (all that the method returned), ``embedding_`` (cells × dimensions),
    ``labels_`` (the method's own clusterings), ``curves_`` and ``steps_`` (name → values, and the
    steps they were reported at), ``prepared_``.
    """

    def __init__(self, method: Method) -> None:
        self.method = method

    def fit(
        self,
        adata: AnnData | MuData,
        *,
        modality: str = RNA,
        seed: int = 0,
        n_clusters: int | None = None,
        batch: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        markers: dict[str, tuple[str, ...]] | None = None,
        proteins: np.ndarray | None = None,
        protein_names: tuple[str, ...] | None = None,
        device: str = "cpu",
        threads: int = 1,
        listener: Listener | None = None,
        checkpoints: Path | None = None,
    ) -> Self:
        """Fit on ``adata.X`` (counts, cells × features); ``adata`` is not changed.

        Paired data are a ``MuData`` with counts of ``rna`` and ``atac``, as ``prepared_`` then is.

        ``listener(step, total, values)`` hears of the progress; ``checkpoints`` is a folder for
        the state of a method that ``resumes``.
        ``n_clusters``, ``batch``, ``labels``, ``markers`` (signature → genes) and ``proteins``
        (counts, cells × proteins; default: ``obsm["ADT"]``) reach the method only if it declares
        their use. Raises ``UsageError`` if it declares one that is not given, ``DataError`` if no
        marker gene is among the features.
        """
        import numpy as np

        uses = self.method.uses()
        if proteins is None and "proteins" in uses:
            proteins, protein_names = proteins_of(cells_of(adata)) or (None, None)
        given = {"n_clusters": n_clusters, "batch": batch, "labels": labels, "markers": markers,
                 "proteins": proteins}  # fmt: skip
        for name in sorted(uses):
            if given[name] is None:
                raise UsageError(f"{self.method.name} uses {name}: pass {name}=... to fit.")
        info = describe_data(adata, name="data", modality=modality, has_batch=batch is not None)
        prepared = prepare_data(
            adata, self.method.recipe(info), None if "batch" not in uses else np.asarray(batch)
        )
        kept = adata.obs_names.get_indexer(prepared.obs_names)
        lists, missing = None, ""
        if "markers" in uses and markers is not None:
            lists, missing = among(markers, prepared.var_names, self.method.name)
        curves = Curves(listener)
        with tempfile.TemporaryDirectory() as scratch:
            context = Context(
                seed=seed,
                n_clusters=n_clusters if "n_clusters" in uses else None,
                device=device,
                threads=threads,
                knowledge=Knowledge(
                    batch=np.asarray(batch)[kept] if "batch" in uses else None,
                    labels=np.asarray(labels)[kept] if "labels" in uses else None,
                    markers=lists,
                    proteins=np.asarray(proteins)[kept] if "proteins" in uses else None,
                    protein_names=protein_names if "proteins" in uses else None,
                ),
                report=curves,
                log=lambda text: None,
                scratch=Path(scratch),
                checkpoints=checkpoints,
            )
            self.fit_ = self.method.fit(prepared, context)
        if missing:
            self.fit_.notes["markers"] = missing
        self.prepared_, self.curves_, self.steps_ = prepared, curves.values, curves.steps
        self.embedding_, self.labels_ = self.fit_.embedding, self.fit_.labels
        return self

    def transform(self, prepared: AnnData | MuData) -> np.ndarray:
        """Return the embedding of new cells, prepared like the training cells.

        Raises ``UsageError`` if the method has no ``transform``.
        """
        function: Any = getattr(self.method, "transform", None)
        if function is None:
            raise UsageError(f"{self.method.name} cannot embed new cells: it has no transform.")
        return function(prepared)
