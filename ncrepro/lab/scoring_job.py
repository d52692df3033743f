"""What is computed from one cached feature set, in a process of its own: every metric, or an analysis's step."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from .. import metrics
from ..metrics import registry
from ..store.artifacts import Arrays
from ..store.jobs import require

Step = Callable[[Arrays, list[dict]], list[dict[str, float]]]  # features and settings -> what is found under each


def score(origin: Path, origin_spec: dict) -> Arrays:
    """`metrics.all_scores`, and FaCe's class fairness as Eq. 6 is printed."""
    arrays = require(origin, origin_spec, origin.stem)
    H, y = arrays["features"], arrays["labels"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no more samples than features: notebook 11 says for which models
        scores = metrics.all_scores(H, y, arrays.get("source_probs"))  # models without a source classifier have none
        scores |= registry.flat("face_printed", metrics.face(H, y, include_self=True))
    return {name: np.array(value) for name, value in scores.items()}


def take_step(
    step: Step,
    settings: list[dict],
    origin: Path,
    origin_spec: dict,
    source: Path | None = None,
    source_spec: dict | None = None,
) -> Arrays:
    """What ``step`` finds under every setting, one array per term; with a source, its features are among the arrays."""
    arrays = require(origin, origin_spec, origin.stem)
    if source:
        of_source = require(source, source_spec, source.stem)
        arrays |= {f"source_{name}": of_source[name] for name in ("features", "labels")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no more samples than features: what some analyses are about
        found = step(arrays, settings)
    return {term: np.array([of[term] for of in found]) for term in found[0]}
