"""scIMTA and the two graph autoencoders it grew from, scMGCA and scTAG."""

from .scimta import ScIMTA
from .scmgca_sctag import ScMGCA, ScTAG

__all__ = ["ScIMTA", "ScMGCA", "ScTAG"]
