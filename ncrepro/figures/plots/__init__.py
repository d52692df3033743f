"""A tidy table in, a matplotlib figure out: one function per figure, and no computing in it."""

from .data import examples
from .names import label
from .rankings import (
    TARGET_BLIND,
    accuracy_heatmap,
    embedding,
    feature_matrix,
    interval_plot,
    method_scatter,
    score_scatter,
)
from .tables import correlation_heatmap
from .toy import spaces, terms

__all__ = [
    "TARGET_BLIND",
    "accuracy_heatmap",
    "correlation_heatmap",
    "embedding",
    "feature_matrix",
    "examples",
    "interval_plot",
    "label",
    "method_scatter",
    "score_scatter",
    "spaces",
    "terms",
]
