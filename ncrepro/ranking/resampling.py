"""Other models, other test images, another training: what a ranking of the same kind could have been worth.

A draw is a pool that could have been. All rankings are judged on the same draws, so they are compared draw by draw.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, t

DRAWS = 1000
FEW = 5  # models; a bootstrap of fewer says nothing of other models
COMPONENTS = ("models", "images", "training")


@dataclass(frozen=True)
class Noise:
    """How different the accuracies of the same models could have been. All tables: models x targets.

    Parameters
    ----------
    images : DataFrame, optional
        Standard errors of the accuracies over test images, in points.
    seeds : DataFrame, optional
        Standard deviations over fine-tunings, in points: stands for the training where there are no ``runs``.
    runs : tuple of dict "accuracy" or ranking -> DataFrame
        Repetitions of everything, pre-training included.
    """

    images: pd.DataFrame | None = None
    seeds: pd.DataFrame | None = None
    runs: tuple[dict[str, pd.DataFrame], ...] = ()

    @property
    def known(self) -> bool:
        """Whether anything is known of it."""
        return self.images is not None or self.seeds is not None or bool(self.runs)

    def map(self, arrange: Callable[[pd.DataFrame], pd.DataFrame]) -> "Noise":
        """The noise of a pool that is arranged otherwise: fewer models or targets, or under other names."""
        images, seeds = (table if table is None else arrange(table) for table in (self.images, self.seeds))
        return Noise(images, seeds, tuple({name: arrange(table) for name, table in run.items()} for run in self.runs))

    def like(self, accuracies: pd.DataFrame) -> "Noise":
        """The noise of these models and targets; what lacks one of them is left out."""
        found = self.map(lambda table: table.reindex(index=accuracies.index, columns=accuracies.columns))
        images, seeds = (
            None if table is None or table.isna().any(axis=None) else table for table in (found.images, found.seeds)
        )
        return Noise(images, seeds, tuple(run for run in found.runs if not run["accuracy"].isna().any(axis=None)))


NONE = Noise()


def covers(*noises: Noise) -> str:
    """What the intervals of these pools include, for the figures that show them."""
    parts = ["models"]
    if all(noise.images is not None for noise in noises):
        parts.append("test images")
    if all(noise.runs for noise in noises):
        parts.append(f"training ({min(len(noise.runs) for noise in noises) + 1} runs)")
    elif all(noise.runs or noise.seeds is not None for noise in noises):
        parts.append("fine-tuning (seeds)")
    text = ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0] + " only"
    return f"95 % of draws of other {text}"


def draws(
    scores: pd.DataFrame,
    accuracies: pd.DataFrame,
    noise: Noise = NONE,
    statistic: str = "weighted_kendall",
    components: Sequence[str] = COMPONENTS,
    n: int = DRAWS,
    seed: int = 0,
    without: str | None = None,
) -> pd.DataFrame:
    r"""What rankings are worth in ``n`` pools that could have been.

    A draw takes the models with replacement. It takes the accuracies (and the scores, where they are kept) from one of
    all runs. Then it moves the accuracies as other test images (and, without runs, another fine-tuning) would move
    them. The same seed draws the same for every ranking.

    Parameters
    ----------
    scores : DataFrame (model, target, metric, score)
    accuracies : DataFrame, models x targets, per cent
    noise : Noise
        Of these models and targets or of more.
    statistic : {"weighted_kendall", "pearson", "regret"}
    components : some of `COMPONENTS`
        What is drawn; the rest stays as it was found.
    without : str, optional
        A model that is in no draw, to compare with draws in which it is; needs no scores.

    Returns
    -------
    DataFrame, n x (metric, target)
        NaN where a metric has no value for a model or the same for all, and everywhere if fewer than `FEW` models are
        to be drawn from. In a draw without an order the correlation is 0.

    Notes
    -----
    The accuracies hold their noise already. To add it once more pulls every correlation towards 0; the mean of this
    pull is taken back, and what remains is the spread. Percentile intervals of few models are too narrow; deviations
    from the mean are widened by :math:`\sqrt{m/(m-1)}\, t_{0.95,m-1}/z_{0.95}` for m models (Hesterberg, *The American
    Statistician* 69, 2015: "expanded percentile interval").
    """
    if statistic not in _KERNELS:
        raise ValueError(f"unknown statistic {statistic!r}: choose one of {', '.join(_KERNELS)}")
    if unknown := set(components) - set(COMPONENTS):
        raise ValueError(f"unknown component {sorted(unknown)[0]!r}: choose some of {', '.join(COMPONENTS)}")
    noise = noise.like(accuracies)
    tables = _tables(scores, accuracies)
    n_models, rng = len(accuracies), np.random.default_rng(seed)
    left = accuracies.index != without
    columns = pd.MultiIndex.from_product([list(tables), accuracies.columns], names=["metric", "target"])
    values = np.full((n, len(tables), accuracies.shape[1]), np.nan)
    if "models" in components and n_models < FEW:
        return pd.DataFrame(values.reshape(n, -1), columns=columns)
    counts = counts_of_models(n_models, rng, n) if "models" in components else np.ones((n, n_models), int)
    runs = [{"accuracy": accuracies, **tables}, *(noise.runs if "training" in components else ())]
    counts = counts * left
    kept = all(set(tables) <= set(run) for run in runs)  # the scores of every run, or of the present one throughout
    spread = _spread(accuracies, noise, components)
    truths = np.stack([run["accuracy"].to_numpy(float) for run in runs])  # (runs, models, targets)
    scored = np.stack(
        [[run[name].to_numpy(float) for name in tables] for run in (runs if kept else runs[:1])]
    )  # (runs or 1, K, models, targets)
    judged = _are_judged(scored[0][:, left], truths[0][left], statistic)  # (K, targets)
    scored = np.nan_to_num(scored, nan=0.0, posinf=np.inf, neginf=-np.inf)
    for i in range(accuracies.shape[1]):
        moved = rng.standard_normal((n, n_models)) * spread[:, i]
        shown = np.flatnonzero(judged[:, i])
        found = np.empty((len(shown), n))
        for r in range(len(runs) if len(shown) else 0):
            rows = np.arange(r, n, len(runs))
            s = scored[r if kept else 0, shown, :, i]  # (K, m)
            a = np.broadcast_to(truths[r, :, i], (len(rows), n_models))
            found[:, rows] = _KERNELS[statistic](s, a + moved[rows], counts[rows])
            if moved.any():
                found[:, rows] += (_KERNELS[statistic](s, a, counts[rows]) - found[:, rows]).mean(axis=1, keepdims=True)
        if "models" in components:
            found = widened(found, n_models)
        values[:, shown, i] = found.T
    return pd.DataFrame(values.reshape(n, -1), columns=columns)


def counts_of_models(n_models: int, rng: np.random.Generator, n: int = DRAWS) -> np.ndarray:
    """How often each model is in each draw with replacement: (n, models)."""
    return rng.multinomial(n_models, np.full(n_models, 1 / n_models), size=n)


def widened(found: np.ndarray, n_models: int) -> np.ndarray:
    """Draws (..., n) of so many models, with deviations from the mean as large as they should be; see `draws`."""
    if n_models < FEW:
        return np.full_like(found, np.nan)
    mean = found.mean(axis=-1, keepdims=True)
    factor = np.sqrt(n_models / (n_models - 1)) * t.ppf(0.95, n_models - 1) / norm.ppf(0.95)
    return mean + (found - mean) * factor


def mean_over_targets(values: pd.DataFrame) -> pd.DataFrame:
    """`draws` averaged over the targets on which a metric has an order: n x metrics."""
    return values.T.groupby(level="metric", sort=False).mean().T


def interval(values: pd.DataFrame | pd.Series):
    """The middle 95 % of `draws` of a correlation, by column: (low, high), within -1 and 1."""
    return tuple(np.clip(values.quantile(q), -1, 1) for q in ((1 - 0.95) / 2, (1 + 0.95) / 2))


def _tables(scores: pd.DataFrame, accuracies: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Metric -> scores, models x targets as in ``accuracies``."""
    wide = scores.pivot(index="model", columns=["metric", "target"], values="score").reindex(accuracies.index)
    return {m: wide[m].reindex(columns=accuracies.columns) for m in scores["metric"].unique()}


def _are_judged(scores: np.ndarray, truths: np.ndarray, statistic: str) -> np.ndarray:
    """Whether every model has a score and there is an order, (K, targets), of (K, models, targets)."""
    known = ~np.isnan(scores).any(axis=1)
    if statistic == "regret":  # a choice by equal scores is one at random, and costs something too
        return known
    return known & (scores.max(axis=1) != scores.min(axis=1)) & (truths.max(axis=0) != truths.min(axis=0))


def errors(accuracies: pd.DataFrame, noise: Noise) -> pd.DataFrame:
    """How far each accuracy strays by what is known of it, in points (models x targets); NaN where nothing is known."""
    noise = noise.like(accuracies)
    spread = _spread(accuracies, noise, COMPONENTS)
    if noise.runs:
        again = np.stack([accuracies.to_numpy(), *(run["accuracy"].to_numpy() for run in noise.runs)])
        spread = np.sqrt(spread**2 + again.var(axis=0, ddof=1).mean(axis=0))  # pooled over the models
    return pd.DataFrame(spread if noise.known else np.nan, accuracies.index, accuracies.columns)


def _spread(accuracies: pd.DataFrame, noise: Noise, components: Sequence[str]) -> np.ndarray:
    """Standard deviation of what is added to each accuracy, (models, targets)."""
    variance = np.zeros(accuracies.shape)
    if "images" in components and noise.images is not None:
        variance += noise.images.to_numpy() ** 2
    if "training" in components and noise.seeds is not None and not noise.runs:
        variance += noise.seeds.to_numpy() ** 2
    return np.sqrt(variance)


# The statistics: scores (K, models), accuracies (b, models), how often each model is drawn (b, models) -> (K, b) ------


def _weighted_kendall(s: np.ndarray, a: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """`ranking.weighted_kendall` of every metric on every draw.

    A model that is drawn c times stands c times in the ranking, one copy after the other: sums over copies are sums
    over models, weighted by c, and the c weights are a difference of harmonic numbers. All sums are products of
    matrices.
    """
    harmonic = np.concatenate([[0], np.cumsum(1 / np.arange(1.0, counts.sum(axis=1).max() + 1))])
    c = counts.astype(np.float32)
    S, A = _signs(s), _signs(a)  # (K, m, m), (b, m, m)
    earlier = np.tri(s.shape[-1], k=-1, dtype=np.float32)  # of two that tie in both, the first stands ahead
    copies = c[:, None, :]
    agree = _over_pairs(S, A * copies)
    untied_s, untied_a = np.abs(S) @ c.T, (np.abs(A) * copies).sum(axis=2).T  # (K, m, b), (m, b)
    tied_s, tied_a = ((x == 0).astype(np.float32) for x in (S, A))
    behind_s, behind_a = ((x < 0).astype(np.float32) for x in (S, A))
    both = _over_pairs(tied_s * earlier, tied_a * copies)
    first = behind_s @ c.T + _over_pairs(tied_s, behind_a * copies) + both  # how many stand ahead by score, (K, m, b)
    second = (behind_a * copies).sum(axis=2).T + _over_pairs(behind_s, tied_a * copies) + both  # and by accuracy
    taus = []
    for ahead in (first, second):
        ahead = ahead.round().astype(int)
        weight = harmonic[ahead + counts.T] - harmonic[ahead]
        total, of_s, of_a = ((weight * part).sum(axis=1) for part in (agree, untied_s, untied_a))
        taus.append(_ratio(total, np.sqrt(of_s * of_a)))
    return (taus[0] + taus[1]) / 2


def _signs(x: np.ndarray) -> np.ndarray:
    return np.sign(x[:, :, None] - x[:, None, :]).astype(np.float32)


def _over_pairs(of_metrics: np.ndarray, of_draws: np.ndarray) -> np.ndarray:
    """Sum over j of (K, m, m) times (b, m, m): (K, m, b)."""
    return np.matmul(of_metrics.transpose(1, 0, 2), of_draws.transpose(1, 2, 0)).transpose(1, 0, 2)


def _pearson(s: np.ndarray, a: np.ndarray, counts: np.ndarray) -> np.ndarray:
    share = counts / counts.sum(axis=1, keepdims=True)  # (b, m)
    s, a = s - s.mean(axis=1, keepdims=True), a - a.mean(axis=1, keepdims=True)
    mean_s, mean_a = s @ share.T, (share * a).sum(axis=1)  # (K, b), (b,)
    covariance = s @ (share * a).T - mean_s * mean_a
    variance = (s**2 @ share.T - mean_s**2) * ((share * a**2).sum(axis=1) - mean_a**2)
    return _ratio(covariance, np.sqrt(np.maximum(variance, 0)))


def _regret(s: np.ndarray, a: np.ndarray, counts: np.ndarray) -> np.ndarray:
    there = counts > 0
    best = np.where(there, a, -np.inf).max(axis=1)
    found = []
    for of_metric in s:
        score = np.where(there, of_metric, -np.inf)
        top = score == score.max(axis=1, keepdims=True)
        found.append(best - (a * top).sum(axis=1) / top.sum(axis=1))
    return np.stack(found)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """0 where there is no order."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator, dtype=float), where=denominator > 1e-12)


_KERNELS = {"weighted_kendall": _weighted_kendall, "pearson": _pearson, "regret": _regret}
