"""NCTI and FaCe taken apart: single terms, weights, and the choices that the papers leave open (`30_ablations`)."""

from itertools import combinations, product

import numpy as np
import pandas as pd

from ... import metrics, ranking
from ...metrics import collapse, registry
from ...ranking.resampling import Noise
from ...store.artifacts import Arrays
from ..experiment import Experiment, correlations
from . import difference, draws_of, terms_of

# Names in the tables -> names on the page; NCTI Fig. 5 writes the variability without its logarithm.
NCTI_TERMS = {term.name: term.signed_label for term in registry.METRICS["ncti"].terms} | {"log_vc": "−vc"}
FACE_TERMS = {term.name: term.signed_label for term in registry.METRICS["face"].terms}
WEIGHTS = (0.1, 0.4, 0.8, 1.0, 1.2, 1.6, 2.0)  # NCTI Fig. 6 a-c, and its default 1
DEFAULT = {"covariance": "diagonal", "n_components": 64, "temperature": 0.05, "include_self": False}
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.005, 5, 7).round(4))  # three decades around the paper's 0.05

# Full covariances without PCA, as printed, would take ten times as long as all the others together.
COVARIANCES = [
    {"covariance": covariance, "n_components": n, "include_self": itself}
    for covariance, n, itself in product(("diagonal", "spherical", "full"), (16, 32, 64, None), (False, True))
    if (covariance != "full" or n) and (not itself or n == 64)
]
VARIANTS = [DEFAULT | choice for choice in COVARIANCES] + [
    DEFAULT | {"temperature": t, "include_self": itself}
    for t, itself in product(TEMPERATURES, (False, True))
    if t != 0.05
]
# The whole target; then classes from n down to n / ratio images, and as a control the same number of images, evenly.
IMBALANCES = [{"ratio": 1.0, "balanced": True, "draw": 0}] + [
    {"ratio": ratio, "balanced": balanced, "draw": draw}
    for ratio, balanced, draw in product((3.0, 10.0), (True, False), range(3))
]


# Steps: what is measured on features ----------------------------------------------------------------------------------


def face_variants(arrays: Arrays, settings: list[dict]) -> list[dict[str, float]]:
    """FaCe's terms under each setting, keyword arguments of `metrics.face`."""
    data = metrics.Samples(arrays["features"], arrays["labels"])  # with what all settings share
    return [metrics.face(data, None, **setting)._asdict() for setting in settings]


def equiangularity(arrays: Arrays, settings: list[dict]) -> list[dict[str, float]]:
    """−NC2(A) (FaCe A.2), so that higher is better; there is nothing to set."""
    return [{"nc2_a": -collapse.nc2_a(arrays["features"], arrays["labels"])} for _ in settings]


def imbalanced(arrays: Arrays, settings: list[dict]) -> list[dict[str, float]]:
    """FaCe, NCTI and LogME on a part of the target; every model sees the same images."""
    found = []
    for setting in settings:
        kept = thinned(arrays["labels"], **setting)
        data = metrics.Samples(arrays["features"][kept], arrays["labels"][kept])
        face, ncti = metrics.face(data, None), metrics.ncti(data, None)
        found.append(face._asdict() | ncti._asdict() | {"logme": metrics.logme(data, None)})
    return found


def thinned(labels: np.ndarray, ratio: float, balanced: bool, draw: int) -> np.ndarray:
    """Indices of a part of the samples, drawn at random.

    Parameters
    ----------
    labels : array (n,)
    ratio : float
        The smallest class keeps 1 / ratio of the share that the largest keeps, the shares of the others are between
        these, on a geometric scale; which class gets which share is drawn at random. At least two samples of each class
        are kept.
    balanced : bool
        True keeps as many samples in all, but the same share of every class.
    draw : int
        Which of many draws.
    """
    rng = np.random.default_rng(draw)
    classes = np.unique(labels)
    shares = ratio ** -np.linspace(0, 1, len(classes))[rng.permutation(len(classes))]  # (K,)
    if balanced:
        shares[:] = shares.mean()
    members = (np.flatnonzero(labels == k) for k in classes)
    return np.sort(np.concatenate([
        rng.permutation(of)[: max(2, round(share * len(of)))] for of, share in zip(members, shares, strict=True)
    ]))  # fmt: skip


# Of one pool ----------------------------------------------------------------------------------------------------------


def ncti_terms(study: Experiment, subset: str | None) -> pd.DataFrame:
    """NCTI Fig. 5: `experiment.correlations` of every subset of NCTI's terms."""
    terms, accuracies = terms_of(study, subset, "ncti")
    return correlations(term_subsets(terms, NCTI_TERMS), accuracies, study.noise(subset))


def ncti_weights(study: Experiment, subset: str | None) -> pd.DataFrame:
    """NCTI Fig. 6 a-c: (term, weight, target, weighted_kendall)."""
    terms, accuracies = terms_of(study, subset, "ncti")
    return ranking.agreement(weighted(terms), accuracies, ["term", "weight"])


def face_terms(study: Experiment, subset: str | None) -> pd.DataFrame:
    """FaCe Tables 4 and 5: `experiment.correlations` of VC, CF, both, and −NC2(A), which is written as ``nc2_a``."""
    terms, accuracies = terms_of(study, subset, "face")
    nc2 = study.measure(equiangularity, [{}]).rename(columns={"term": "metric"})
    nc2 = study.write("nc2_a", nc2[nc2["model"].isin(accuracies.index)])
    return correlations(pd.concat([term_subsets(terms, FACE_TERMS), nc2]), accuracies, study.noise(subset))


def face_choices(study: Experiment, subset: str | None) -> pd.DataFrame:
    """`variant_agreement` of the `VARIANTS` of FaCe; `variant_moves` is written as ``face_choices_moves``."""
    _, accuracies = study.ranked(subset)
    measured = study.measure(face_variants, VARIANTS)
    study.write("face_choices_moves", variant_moves(measured, accuracies, study.noise(subset)))
    return variant_agreement(measured, accuracies, list(DEFAULT))


# Tables in, tables out ------------------------------------------------------------------------------------------------


def term_subsets(terms: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """Scores by each term alone, by each pair, ... and by all, each min-max normalised and summed as the metric does.

    Parameters
    ----------
    terms : DataFrame (model, target, term, score)
    names : dict term -> its name on the page

    Returns
    -------
    DataFrame (model, target, metric, score)
        ``metric``: the names of the terms, joined.
    """
    tables = []
    for size in range(1, len(names) + 1):
        for chosen in combinations(names, size):
            weights = {term: 0.0 for term in names if term not in chosen}
            label = " + ".join(names[term] for term in chosen).replace("+ −", "− ")
            tables.append(ranking.totals(terms[terms["term"].isin(names)], ["target"], weights).assign(metric=label))
    return pd.concat(tables, ignore_index=True)


def weighted(terms: pd.DataFrame) -> pd.DataFrame:
    """NCTI's totals with one term at each of `WEIGHTS`, the others at 1: (model, target, score, term, weight)."""
    return pd.concat([
        ranking.totals(terms, ["target"], {term: registry.sign(term) * value}).assign(term=term, weight=value)
        for term, value in product(NCTI_TERMS, WEIGHTS)
    ])  # fmt: skip


def variant_agreement(measured: pd.DataFrame, accuracies: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """How well FaCe, each of its terms, and all else that was measured rank, under each setting.

    Parameters
    ----------
    measured : DataFrame (model, target, *by, term, score)
    by : list of the settings' names

    Returns
    -------
    DataFrame (*by, metric, target, weighted_kendall)
    """
    measured = measured[measured["model"].isin(accuracies.index)]
    scores = [measured.rename(columns={"term": "metric"})]
    for metric, names in (("face", FACE_TERMS), ("ncti", NCTI_TERMS)):
        if set(names) <= set(measured["term"]):
            scores.append(ranking.totals(measured[measured["term"].isin(names)], [*by, "target"]).assign(metric=metric))
    return ranking.agreement(pd.concat(scores), accuracies, [*by, "metric"])


def variant_moves(measured: pd.DataFrame, accuracies: pd.DataFrame, noise: Noise) -> pd.DataFrame:
    """How far FaCe's mean weighted Kendall moves from that of its `DEFAULT`: (*DEFAULT, difference, error)."""
    measured = measured[measured["model"].isin(accuracies.index)].fillna({"n_components": 0})  # groups have no NaN
    draws = draws_of(ranking.totals(measured, [*DEFAULT, "target"]), accuracies, noise, list(DEFAULT))
    default = draws[[tuple(DEFAULT.values())]]
    moves = {setting: difference(draws[[setting]], default) for setting in draws.columns.drop(default.columns)}
    return pd.DataFrame([dict(zip(DEFAULT, setting, strict=True)) | move for setting, move in moves.items()])


def imbalance_moves(measured: pd.DataFrame, accuracies: pd.DataFrame, noise: Noise) -> pd.DataFrame:
    """How far class fairness ranks better after uneven thinning than after even: (ratio, difference, error)."""
    thin = measured.query("term == 'class_fairness' and ratio > 1 and model in @accuracies.index")
    draws = draws_of(thin, accuracies, noise, ["ratio", "balanced", "draw"])
    ratios = thin["ratio"].unique()
    return pd.DataFrame([{"ratio": r, **difference(draws[r][False], draws[r][True])} for r in ratios])
