"""Transferability metrics: features and labels in, a score out.

One function per metric, one file per family of metrics; ``features`` may be NumPy, a memory map or torch on any
device, and are never modified.
"""

from . import collapse
from .etran import ETranTerms, etran
from .face import FaCeTerms, face
from .gbc import gbc
from .hscore import h_score, regularized_h_score
from .knn import knn
from .leep import leep, nce, nleep
from .linear_probe import linear_probe
from .logme import logme
from .ncti import NCTITerms, ncti
from .otce import otce
from .parc import parc
from .samples import Samples
from .scores import all_scores
from .sfda import sfda
from .statistics import ClassStatistics
from .transrate import transrate

__all__ = [
    "ClassStatistics",
    "ETranTerms",
    "FaCeTerms",
    "NCTITerms",
    "Samples",
    "all_scores",
    "collapse",
    "etran",
    "face",
    "gbc",
    "h_score",
    "knn",
    "leep",
    "linear_probe",
    "logme",
    "ncti",
    "nce",
    "nleep",
    "otce",
    "parc",
    "regularized_h_score",
    "sfda",
    "transrate",
]
