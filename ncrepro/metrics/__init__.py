"""Transferability metrics: features and labels in, a score out.

One function per metric, one file per metric; ``features`` may be NumPy, a memory map or torch on any device, and are
never modified.
"""

from . import collapse
from .face import FaCeTerms, face
from .gbc import gbc
from .hscore import h_score, regularized_h_score
from .leep import leep, nce, nleep
from .logme import logme
from .ncti import NCTITerms, ncti
from .samples import Samples
from .scores import all_scores
from .sfda import sfda
from .statistics import ClassStatistics
from .transrate import transrate

__all__ = [
    "ClassStatistics",
    "FaCeTerms",
    "NCTITerms",
    "Samples",
    "all_scores",
    "collapse",
    "face",
    "gbc",
    "h_score",
    "leep",
    "logme",
    "ncti",
    "nce",
    "nleep",
    "regularized_h_score",
    "sfda",
    "transrate",
]
