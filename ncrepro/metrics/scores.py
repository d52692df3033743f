"""Every score of one model on one target, from shared statistics."""

from collections.abc import Iterable

import numpy as np

from ._arrays import Array
from .leep import source_labels
from .registry import FEATURES, METRICS, SOURCE_LABELS, SOURCE_PROBS, SOURCE_SAMPLES, columns, flat
from .samples import Samples, samples
from .statistics import ClassStatistics


def all_scores(
    features: Array | Samples,
    labels: Array | None,
    source_probs: Array | None = None,
    *,
    nleep: bool = True,
    source_samples: Samples | None = None,
) -> dict[str, float]:
    """Every metric of the package on one model and one target, with one pass for the statistics that they share.

    Parameters
    ----------
    features : array of shape (n, d), or Samples
        Penultimate-layer activations: NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings; at least two samples of each.
    source_probs : array of shape (n, K_s), optional
        The model's probabilities of its source classes; only with them are ``leep`` and ``nce`` among the results.
    nleep : bool
        False leaves out ``nleep``, whose mixture takes longer than all the rest, and with it the other metrics that
        share no statistics: ``etran``, ``parc``, ``knn``, ``linear_probe``, ``otce``.
    source_samples : Samples, optional
        Labelled features of what the model was trained on, by the same model; only with them is ``otce`` among the
        results.

    Returns
    -------
    dict of str to float
        ``ncti_seli, ncti_ncc, ncti_log_vc, face_variance_collapse, face_class_fairness, logme, sfda, h_score,
        regularized_h_score, transrate, gbc``, then ``etran_energy, etran_classification, parc, knn, linear_probe,
        nleep, leep, nce, otce``. For all but ``ncti_log_vc`` higher is better; ranges are those of the single
        functions.

    Raises
    ------
    ValueError
        Whatever the single functions raise.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> scores = all_scores(*load_iris(return_X_y=True), nleep=False)
    >>> {name: round(score, 2) for name, score in scores.items() if name.startswith("ncti")}
    {'ncti_seli': 83.07, 'ncti_ncc': 0.97, 'ncti_log_vc': 3.13}
    """
    data = samples(features, labels)
    labels = data.classes[data.codes] if labels is None else labels
    _ = data.statistics.reduced  # before the first score that needs only a part of it
    given = {SOURCE_PROBS: source_probs, SOURCE_LABELS: source_probs, SOURCE_SAMPLES: source_samples}
    scores = {}
    for name, metric in METRICS.items():
        if (nleep or not metric.slow) and given.get(metric.needs, data) is not None:
            scores |= flat(name, score(name, data, labels, source_probs, source_samples))
    return scores


def score(
    metric: str,
    features: Array | Samples | ClassStatistics,
    labels: Array | None,
    source_probs: Array | None = None,
    source_samples: Samples | None = None,
) -> float | tuple:
    """One metric by its name, with its default options: what its function returns for the inputs that it needs."""
    from .. import metrics  # by name, and when called: then only who calls this rests on the code of every metric

    known = METRICS[metric]
    if isinstance(features, Samples) and known.needs in (FEATURES, SOURCE_SAMPLES):
        labels = None  # it holds them
    if known.needs == SOURCE_SAMPLES:
        return getattr(metrics, metric)(source_samples, features, labels)
    if known.needs == SOURCE_PROBS:
        features = source_probs
    elif known.needs == SOURCE_LABELS:
        features = source_labels(source_probs)
    return getattr(metrics, metric)(features, labels)


def check_finite(model: str, metrics: Iterable[str], terms: np.ndarray) -> None:
    """Raise a ``ValueError`` about the first term of these metrics that is no number; ``terms`` holds all terms in a
    row.
    """
    for (metric, term), value in zip(columns(metrics), terms, strict=True):
        if not np.isfinite(value):
            name = metric if term == metric else f"{metric}'s {term}"
            raise ValueError(
                f"{name} of {model} is {value}: it cannot be computed from these features; leave out the metric or "
                "the model"
            )
