"""Multi-omics factor analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bench.contract import MULTIOME, RNA, Context, Fit, Method, Parameters, Search
from bench.contract.multiome import matrices_of
from bench.seeds import derive_seed

from ._preparations import logarithms_and_tfidf

if TYPE_CHECKING:
    from bench.contract import DatasetInfo, PairedRecipe, Recipe


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
        return logarithms_and_tfidf(info, self.params.n_top_genes, self.params.n_top_peaks)

    def fit(self, data: Any, context: Context) -> Fit:
        """Return the expected factors, (cells, n_components)."""
        from ._factor_models import fit_mofa

        views = [part.X.toarray() for part in matrices_of(data)]
        return fit_mofa(views, self.params, derive_seed(context.seed, "mofa"))
