"""scIMTA and the graph autoencoders that it grew from, scMGCA and scTAG."""

from .scimta import ScIMTA
from .scmgca_sctag import ScMGCA, ScTAG

__all__ = ["ScIMTA", "ScMGCA", "ScTAG"]
