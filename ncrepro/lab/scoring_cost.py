"""What it costs to score a whole pool: the seconds of every metric, over all models and targets."""

import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from .. import metrics
from ..metrics import registry, scores
from ..store import progress
from ..store.artifacts import Arrays
from . import committed_sample
from .experiment import Experiment

OURS, PLAIN, TOGETHER = "this package", "plain", "all_scores"
TIMED = 12  # feature sets that are timed, at most, taken evenly from all: more would say the same


def score_pool(study: Experiment, plain: Mapping[str, Callable[[np.ndarray, np.ndarray], object]]) -> pd.DataFrame:
    """Time every metric on `TIMED` cached feature sets (cold, on the committed sample), and write ``seconds_cost.csv``.

    One process, one thread. Each metric starts from the features alone. All take turns on the same features, so that
    other work of the machine slows all of them alike; each runs once on the first features before anything is timed.

    Parameters
    ----------
    study : Experiment
        Its features, scores and correlations are there (notebooks 11 and 20 or 21).
    plain : dict metric -> function of (features, labels)
        Another way to the same scores.

    Returns
    -------
    DataFrame (implementation, metric, runs, seconds, difference, error, weighted_kendall)
        ``runs``: feature sets that were timed; ``seconds``: processor time of all models and targets, that is, their
        number times the mean over runs; ``error``: its standard error, as a share; ``difference``: largest relative
        difference of a plain score from this package's; ``weighted_kendall``: mean over targets, NaN for
        ``all_scores``, which is all metrics at once with their statistics shared.
    """
    everything = list(product([model.name for model in study.pool.models], study.pool.targets))
    pairs = [everything[i] for i in np.unique(np.linspace(0, len(everything) - 1, TIMED).round().astype(int))]
    if study.is_cold:
        pairs = committed_sample.pairs(study.profile.name, study.pool.name)
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # no more samples than features: notebook 11 says for which models
        for call in _calls(study.features_of(*pairs[0]), plain).values():
            call()
        for pair in progress.through(pairs, f"{study.pool.name}: time the metrics", len(pairs)):
            values = {}
            for (implementation, metric), call in _calls(study.features_of(*pair), plain).items():
                started = time.process_time()
                values[implementation, metric] = call()
                spent = time.process_time() - started
                rows.append({"implementation": implementation, "metric": metric, "runs": 1, "seconds": spent})
                if implementation == PLAIN:
                    rows[-1]["difference"] = relative_difference(values[PLAIN, metric], values[OURS, metric])
    columns = {"runs": "sum", "seconds": "mean", "difference": "max"}
    by_call = pd.DataFrame(rows).groupby(["implementation", "metric"], sort=False)
    table = by_call.agg(columns).assign(error=by_call["seconds"].sem() / by_call["seconds"].mean()).reset_index()
    table["seconds"] *= len(everything)
    table["weighted_kendall"] = table["metric"].map(study.averages()["weighted_kendall"])
    return study.write("seconds_cost", table)


def stages(study: Experiment) -> dict[str, float]:
    """CPU seconds of what a score has to be compared with; cold, none: times are never committed."""
    if study.is_cold:
        return {}
    known = {"fine-tuning every model": "seconds_finetune", "extracting the features": "seconds_extract"}
    return {stage: study.read(table)["seconds"].sum() for stage, table in known.items()}


def _calls(arrays: Arrays, plain: Mapping[str, Callable]) -> dict[tuple[str, str], Callable[[], object]]:
    """(implementation, metric) -> a call without arguments."""
    H, y, probs = arrays["features"], arrays["labels"], arrays.get("source_probs")
    given = {registry.FEATURES: H, registry.SOURCE_PROBS: probs, registry.SOURCE_LABELS: probs}
    known = [metric for metric in registry.METRICS.values() if given.get(metric.needs) is not None]
    calls = {(OURS, metric.name): partial(scores.score, metric.name, H, y, probs) for metric in known}
    calls[OURS, TOGETHER] = partial(metrics.all_scores, H, y, probs)
    return calls | {(PLAIN, name): partial(function, H, y) for name, function in plain.items()}


def relative_difference(score: float | tuple, reference: float | tuple) -> float:
    """The largest ``|score / reference - 1|`` over the terms of a score."""
    return float(np.abs(np.ravel(score) / np.ravel(reference) - 1).max())
