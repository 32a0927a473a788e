"""Multi-omics factor analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bench.contract import (
    MULTIOME,
    RNA,
    Context,
    Fit,
    Method,
    PairedRecipe,
    Parameters,
    Recipe,
    Search,
    log_normalized,
)
from bench.contract.multiome import matrices_of
from bench.seeds import derive_seed

if TYPE_CHECKING:
    from bench.contract import DatasetInfo


class MOFA(Method):
    """Sparse Gaussian factors of one or two modalities (MOFA+, Argelaguet et al. 2020; mofapy2).

    Genes: logarithms of variable genes; peaks: TF-IDF of variable peaks. Each modality is centred
    and scaled as a whole; weights have a spike-and-slab prior, the program's default.
    """

    name = "mofa"
    summary = "sparse factors of one or two modalities (MOFA+)"
    reference = "Argelaguet et al. 2020, Genome Biology 21:111, doi 10.1186/s13059-020-02015-1"
    modalities = frozenset({RNA, MULTIOME})
    family = "factorization"
    cost = "heavy"
    requires = ("mofapy2",)
    install = "pip install 'aebench[mofa]'"

    class Params(Parameters):
        """Parameters of the factors."""

        n_components: Annotated[int, Search(5, 50, log=True)] = Field(
            15, ge=1, description="number of factors (at most cells or features minus one)"
        )
        n_top_genes: int = Field(2000, ge=10, description="number of variable genes")
        n_top_peaks: int = Field(5000, ge=10, description="number of variable peaks")
        max_iter: int = Field(200, ge=1, description="most iterations")

    params: Params

    def recipe(self, info: DatasetInfo) -> Recipe | PairedRecipe:
        """Return logarithms of variable genes and TF-IDF of variable peaks."""
        genes = log_normalized(info, n_top_genes=self.params.n_top_genes, scale=False)
        parts: Any = getattr(info, "parts", None)
        if parts is None:
            return genes
        n_peaks = self.params.n_top_peaks
        top = n_peaks if parts["atac"].n_features > n_peaks else None
        genes = log_normalized(parts["rna"], n_top_genes=self.params.n_top_genes, scale=False)
        peaks = Recipe(min_cells=0.01, binarize=True, tfidf=True, n_top_features=top)
        return PairedRecipe(genes, peaks)

    def fit(self, data: Any, context: Context) -> Fit:
        """Return the expected factors, (cells, n_components)."""
        from mofapy2.run.entry_point import entry_point

        from ._global_generators import seed_global_generators

        p, views = self.params, [part.X.toarray() for part in matrices_of(data)]
        n_factors = min(p.n_components, *(min(view.shape) - 1 for view in views))
        model = entry_point()
        model.set_data_options(scale_views=True)
        model.set_data_matrix([[view] for view in views], likelihoods=["gaussian"] * len(views))
        model.set_model_options(factors=n_factors)
        seed = derive_seed(context.seed, "mofa")
        model.set_train_options(iter=p.max_iter, seed=seed, quiet=True)
        with seed_global_generators(seed):
            model.build()
            model.run()
        factors = model.model.nodes["Z"].getExpectation()
        return Fit(factors.astype("float32"))
