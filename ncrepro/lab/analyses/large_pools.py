"""Hundreds of candidates: how many of the first must be fine-tuned, and what one outlier does (`36_large_pools`).

Real accuracies of a public hub with simulated scores, then a thousand made relatives of the models trained here.
"""

import time

import numpy as np
import pandas as pd
from scipy.linalg import solve
from scipy.stats import kendalltau, norm, rankdata, weightedtau

from ... import metrics, ranking
from ...ranking.correlation import KERNELS
from ...ranking.verdicts import SURE
from ...store import memory, progress
from .. import published
from ..experiment import Experiment
from . import pools, published_pools

POINT = 1.0  # of accuracy: as good as the best, for most purposes

# The hub --------------------------------------------------------------------------------------------------------------

QUALITIES = tuple(np.arange(2, 10) / 10)  # weighted Kendall of the simulated scores
MIXTURES = np.linspace(0, 1, 21)  # shares of truth in the scores; what reaches a quality lies between two of these
CALIBRATED, SIMULATED = 40, 4000  # draws that calibrate, and draws that count


def simulated_scores(truth: np.ndarray, share: float, noise: np.ndarray) -> np.ndarray:
    """Simulated scores: ``share`` of the models' true normal scores, and independent normal noise for the rest.

    Parameters
    ----------
    truth : array of shape (n,)
        Accuracies; only their order counts.
    share : float
        The correlation of scores and truth, 0 to 1.
    noise : array of shape (draws, n)

    Returns
    -------
    array of shape (draws, n)
    """
    normal = norm.ppf((rankdata(truth) - 0.5) / len(truth))  # (n,)
    return share * normal + np.sqrt(1 - share**2) * noise


def shares_for(truth: np.ndarray, qualities, rng: np.random.Generator) -> np.ndarray:
    """The ``share`` at which the mean weighted Kendall of `simulated_scores` is each of ``qualities``, interpolated."""
    noise, kendall = rng.standard_normal((CALIBRATED, len(truth))), KERNELS[ranking.weighted_kendall]
    reached = [kendall(scores, np.broadcast_to(truth, scores.shape)).mean()
               for scores in (simulated_scores(truth, share, noise) for share in MIXTURES[:-1])]  # fmt: skip
    return np.interp(qualities, [*reached, 1.0], MIXTURES)


def places(scores: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Place of the first good model in each ranking, 1 is the first; models of equal score count as if it came last.

    Parameters
    ----------
    scores : array of shape (..., n)
    good : boolean array of shape (n,) or (..., n)
    """
    first = np.where(good, scores, -np.inf).max(axis=-1, keepdims=True)
    bad_ties = ((scores == first) & ~good).sum(axis=-1)
    return (scores > first).sum(axis=-1) + bad_ties + 1


def shortlist_length(found: np.ndarray) -> int:
    """How many of the first must be fine-tuned so that a share `SURE` of the rankings is served."""
    return int(np.sort(found)[int(np.ceil(SURE * len(found))) - 1])


def shortlists_on_hub(accuracies: pd.DataFrame) -> pd.DataFrame:
    """How many models must be fine-tuned to have the best one, or one within a point, with 95 %.

    Returns
    -------
    DataFrame (target, n_models, n_near, ranking, weighted_kendall, best, near, promised_best, promised_near)
        ``n_near``: models within a point of the best. ``ranking``: ``simulated`` of a quality, or ``static``, the
        static baseline, where ``best`` and ``near`` are the places in its one ranking and ``promised`` is what
        simulated scores of its quality need; at random the quality is 0.
    """
    static, rows = ranking.static_baseline(accuracies), []
    for number, (target, column) in enumerate(accuracies.items()):
        rng, truth = np.random.default_rng([36, number]), column.to_numpy()
        good = {"best": truth == truth.max(), "near": truth >= truth.max() - POINT}
        reached = ranking.weighted_kendall(static[target], column)
        qualities = [0.0, *QUALITIES, reached]
        shares = shares_for(truth, qualities, rng)
        noise = rng.standard_normal((SIMULATED, len(truth)))
        for quality, share in zip(qualities, shares, strict=True):
            scores = simulated_scores(truth, share, noise)
            rows.append({"target": target, "n_models": len(truth), "n_near": int(good["near"].sum()),
                         "ranking": "simulated", "weighted_kendall": quality,
                         **{k: shortlist_length(places(scores, which)) for k, which in good.items()}})  # fmt: skip
        promised = rows.pop()
        rows.append({**promised, "ranking": "static",
                     **{what: int(places(static[target].to_numpy(), which)) for what, which in good.items()},
                     **{f"promised_{what}": promised[what] for what in good}})  # fmt: skip
    return pd.DataFrame(rows).round(6).astype({"promised_best": "Int64", "promised_near": "Int64"})


def hub_shortlists() -> pd.DataFrame:
    """`shortlists_on_hub` of the reader's file; where there is none, the committed table."""
    accuracies = published_pools.hub_accuracies()
    if accuracies is not None:
        return shortlists_on_hub(accuracies)
    table = published.load("hub_shortlists")
    promised = ["promised_best", "promised_near"]
    return table.assign(**table[promised].apply(pd.to_numeric).astype("Int64"))


def write_hub_shortlists() -> None:
    """Write ``data/published/hub_shortlists.csv`` from the reader's file."""
    published_pools.write_hub(shortlists_on_hub, "hub_shortlists")


# A thousand candidates ------------------------------------------------------------------------------------------------

RELATIVES = 16  # candidates of each trained model, itself the first
TARGETS = 2  # those that the most models were trained for
SIZE, DRAWS = 200, 100  # candidates of a pool that is drawn, and how many are drawn for each target
RIDGE = 100.0  # penalty of the classifier that tells the truth
FIRST = 10  # the candidates whose fine-tuning one may well afford
TERMS = list(metrics.NCTITerms._fields)
TOTALS = {
    "min-max": ranking.total,
    "clipped": lambda terms: ranking.total(terms.clip(terms.quantile(0.05), terms.quantile(0.95), axis=1)),
    "ranks": lambda terms: ranking.total(terms.rank()),
}  # from the same terms to one number for each candidate
OUTLIERS = {
    "not normalised": lambda H, labels, rng: 100 * H,
    "no signal": lambda H, labels, rng: rng.standard_normal(H.shape),
    "knows the labels": lambda H, labels, rng: (labels[:, None] == np.unique(labels)) + 0.01 * rng.random((len(H), 1)),
}  # what may stand on a hub beside honest models; the last was trained on the images to be scored


def bases(profile: str) -> dict[str, list[tuple[Experiment, str]]]:
    """The trained models, as (pool, name), of the `TARGETS` for which there are the most with the same images."""
    studies = [Experiment(pool, profile) for pool in pools(profile)]
    found = {}
    for target in dict.fromkeys(target for study in studies for target in study.pool.targets):
        known = [study for study in studies if target in study.pool.targets]
        size = {s.pool.name: len(s.features_of(s.pool.models[0].name, target)["labels"]) for s in known}
        found[target] = [(study, model.name) for study in known if size[study.pool.name] == max(size.values())
                         for model in study.pool.models]  # fmt: skip
    most = sorted(found, key=lambda target: -len(found[target]))[:TARGETS]
    return {target: found[target] for target in most}


def relative(H: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A made relative of a model: a random share of its units (another width), each with noise (less training).

    Parameters
    ----------
    H : array of shape (n, d)

    Returns
    -------
    array of shape (n, k), d / 4 <= k <= d
    """
    kept = rng.permutation(H.shape[1])[: int(np.ceil(rng.uniform(0.25, 1) * H.shape[1]))]
    H, strength = H[:, np.sort(kept)], np.float32(rng.uniform(0, 1.5))
    return H + strength * H.std(axis=0) * rng.standard_normal(H.shape, dtype=np.float32)


def made(profile: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make candidates from the trained models' features, score them on half of the images, and learn the truth on both.

    The truth is the accuracy, on the other half of the images, of a ridge classifier that was fitted on the half that
    the scores see: no candidate is fine-tuned. Models that two pools share enter once.

    Returns
    -------
    candidates : DataFrame (target, model, relative, seli, ncc, log_vc, accuracy, finetuned)
        ``relative`` 0 is the trained model itself. ``finetuned``: what the trained model reached after fine-tuning.
    outliers : DataFrame (target, outlier, seli, ncc, log_vc)
        Terms of the `OUTLIERS`, made from the first model.
    """
    rows, odd, spent = [], [], 0.0
    chosen, held = bases(profile), memory.reset_peak()
    for number, (target, models) in enumerate(chosen.items()):
        seen = set()
        for index, (study, name) in enumerate(progress.through(models, f"{target}: make relatives", len(models))):
            arrays = study.features_of(name, target)
            features, labels = arrays["features"], arrays["labels"]
            if (content := hash(features.tobytes())) in seen:
                continue
            seen.add(content)
            tuned = study.read("accuracies").query("model == @name and target == @target")
            half = _halves(labels)
            for i in range(RELATIVES):
                H = relative(features, np.random.default_rng([36, number, index, i])) if i else features
                started = time.process_time()
                terms = metrics.ncti(H[half], labels[half])._asdict()
                spent += time.process_time() - started
                rows.append({"target": target, "model": f"{study.pool.name} {name}", "relative": i, **terms,
                             "accuracy": _probed(H, labels, half), "finetuned": tuned["accuracy"].mean()})  # fmt: skip
            if index == 0:
                for what, make in OUTLIERS.items():
                    H = make(features, labels, np.random.default_rng([36, number]))
                    odd.append({"target": target, "outlier": what, **metrics.ncti(H[half], labels[half])._asdict()})
    print(f"{len(rows)} candidates: {1000 * spent / len(rows):.1f} ms of processor time to score one; at most "
          f"{memory.peak_mb() - held:.0f} MB of memory more than before")  # fmt: skip
    return pd.DataFrame(rows).round(6), pd.DataFrame(odd).round(6)


def _halves(labels: np.ndarray) -> np.ndarray:
    """Every other image of each class."""
    half = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        half[np.flatnonzero(labels == label)[::2]] = True
    return half


def _probed(H: np.ndarray, labels: np.ndarray, half: np.ndarray) -> float:
    """Accuracy of a ridge classifier on the images outside ``half``; scikit-learn's takes four times as long here."""
    spread = H[half].std(axis=0)
    X = (H - H[half].mean(axis=0)) / np.where(spread > 0, spread, 1)  # (n, d)
    Y = (labels[:, None] == np.unique(labels)).astype(X.dtype)  # (n, K)
    gram = X[half].T @ X[half] + np.float32(RIDGE) * np.eye(X.shape[1], dtype=X.dtype)
    weights = solve(gram, X[half].T @ (Y[half] - Y[half].mean(axis=0)), assume_a="pos")  # (d, K)
    predicted = (X[~half] @ weights + Y[half].mean(axis=0)).argmax(axis=1)
    return 100 * float(np.mean(Y[~half][np.arange(len(predicted)), predicted]))


def of_models(candidates: pd.DataFrame) -> pd.DataFrame:
    """The trained models beside their relatives: (target, model, accuracy, finetuned, n_relatives, low, high).

    ``accuracy``: the trained model's own, by the classifier on its features; ``low``, ``high``: all its relatives'.
    """
    by = ["target", "model"]
    spread = candidates.groupby(by, sort=False)["accuracy"].agg(n_relatives="size", low="min", high="max")
    own = candidates[candidates["relative"] == 0][[*by, "accuracy", "finetuned"]]
    return own.merge(spread.reset_index(), on=by)


def random_pools(candidates: pd.DataFrame, outliers: pd.DataFrame) -> pd.DataFrame:
    """Pools drawn from the candidates: the place of the best one by each total, and what one outlier moves.

    Returns
    -------
    DataFrame (target, n_models, draw, total, weighted_kendall, best, near, and one column per outlier)
        No rows of a target that has no more than `SIZE` candidates.
        ``best``, ``near``: `places` of the best candidate and of the first within a point of it. Under the name of an
        outlier: the share of pairs of candidates whose order changes when it joins the pool.
    """
    groups = list(candidates.groupby("target", sort=False))
    plan = [(number, draw) for number, (_, group) in enumerate(groups) if len(group) > SIZE for draw in range(DRAWS)]
    rows = []
    for number, draw in progress.through(plan, "draw pools", len(plan)):
        target, group = groups[number]
        chosen = np.random.default_rng([63, number, SIZE, draw]).choice(len(group), SIZE, replace=False)
        terms, truth = group[TERMS].iloc[chosen], group["accuracy"].to_numpy()[chosen]
        odd = outliers[outliers["target"] == target].set_index("outlier")[TERMS]
        good = {"best": truth == truth.max(), "near": truth >= truth.max() - POINT}
        for name, total in TOTALS.items():
            scores = total(terms).to_numpy()
            moved = {what: total(pd.concat([terms, odd.loc[[what]]])).to_numpy()[:-1] for what in odd.index}
            rows.append({"target": target, "n_models": SIZE, "draw": draw, "total": name,
                         "weighted_kendall": weightedtau(scores, truth).statistic,
                         **{what: int(places(scores, which)) for what, which in good.items()},
                         **{what: (1 - kendalltau(scores, other).statistic) / 2
                            for what, other in moved.items()}})  # fmt: skip
    return pd.DataFrame(rows).round(6)


def shortlists(draws: pd.DataFrame) -> pd.DataFrame:
    """How good the first places are: (target, total, weighted_kendall, in_first, best, near).

    ``in_first``: share of the pools whose best candidate is among the `FIRST`; ``best``, ``near``: how many must be
    fine-tuned to have the best one, or one within a point, in 95 % of the pools.
    """
    in_first = ("best", lambda places: (places <= FIRST).mean())
    found = {"weighted_kendall": ("weighted_kendall", "mean"), "in_first": in_first}
    return (
        draws.groupby(["target", "total"], sort=False)
        .agg(**found, best=("best", shortlist_length), near=("near", shortlist_length))
        .reset_index()
    )


def reordered_pairs(draws: pd.DataFrame) -> pd.DataFrame:
    """Per cent of pairs of candidates that an outlier reorders, mean over pools: (target, total, *names)."""
    return (100 * draws.groupby(["target", "total"], sort=False)[list(OUTLIERS)].mean()).reset_index()
