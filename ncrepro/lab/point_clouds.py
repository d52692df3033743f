"""Feature spaces that fit on a page: Gaussian clouds in the plane, for what different models make of one target."""

import numpy as np
import pandas as pd

from .. import metrics

CENTRES = {  # three classes each
    "even": np.array([[0.0, 1.0], [-0.87, -0.5], [0.87, -0.5]]),  # an equilateral triangle
    "biased": np.array([[-1.35, 0.0], [1.05, 0.33], [1.05, -0.33]]),  # two classes lie close together
}


def centres_of(arrangement: str | float) -> np.ndarray:
    """The centres (3, 2) of an arrangement of ``CENTRES``; a number means a place between even (0) and biased (1)."""
    if isinstance(arrangement, str):
        return CENTRES[arrangement]
    on_its_side = -CENTRES["even"][:, ::-1]  # the even triangle with its first corner at the left, where biased has it
    return (1 - arrangement) * on_its_side + arrangement * CENTRES["biased"]


def draw(arrangement: str | float, spread: float, per_class: int = 100, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (3 per_class, 2) and labels of three classes round the `centres_of` an arrangement."""
    rng = np.random.default_rng(seed)
    centres = centres_of(arrangement)
    labels = np.repeat(np.arange(len(centres)), per_class)
    return centres[labels] + spread * rng.standard_normal((len(labels), 2)), labels


def spread_of_equal_collapse(collapse, arrangement: str | float, value: float) -> float:
    """The spread at which ``collapse(features, labels)`` of an arrangement is ``value``.

    Within-class covariance grows with the square of the spread while the centres stay, so one evaluation is almost
    enough: the empirical centres vary at random, and a few more evaluations remove that error.
    """
    spread = 0.3
    for _ in range(20):
        spread *= np.sqrt(value / collapse(*draw(arrangement, spread)))
    return float(spread)


def right_by_class(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Share of each class's samples whose nearest class mean is their own: (K,), in [0, 1], higher is better."""
    means = np.stack([features[labels == k].mean(axis=0) for k in range(labels.max() + 1)])  # (K, d)
    nearest = np.linalg.norm(features[:, None] - means, axis=2).argmin(axis=1)  # (n,)
    return np.array([(nearest[labels == k] == k).mean() for k in range(len(means))])


def fairness_at_equal_collapse(spread: float, n_steps: int = 11) -> pd.DataFrame:
    """Arrangements from even to biased, each at the spread at which FaCe's variance collapse is that of the even one.

    Parameters
    ----------
    spread : float
        Of the even arrangement.
    n_steps : int

    Returns
    -------
    DataFrame (bias, spread, variance_collapse, class_fairness, right, worst)
        ``bias``: 0 even, 1 biased; ``right`` and ``worst``: share of all samples, and of the worst class's, that lie
        nearest to their own mean.
    """
    even = _collapse(*draw(0.0, spread))
    rows = []
    for bias in np.linspace(0, 1, n_steps):
        spread = spread_of_equal_collapse(_collapse, bias, even)
        space = draw(bias, spread)
        terms, right = metrics.face(*space)._asdict(), right_by_class(*space)
        rows.append({"bias": bias, "spread": spread, **terms, "right": right.mean(), "worst": right.min()})
    return pd.DataFrame(rows)


def _collapse(features: np.ndarray, labels: np.ndarray) -> float:
    return metrics.face(features, labels).variance_collapse


def as_table(spaces: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Feature spaces as one tidy table (space, label, x, y)."""
    tables = [
        pd.DataFrame({"space": name, "label": labels, "x": features[:, 0], "y": features[:, 1]})
        for name, (features, labels) in spaces.items()
    ]
    return pd.concat(tables, ignore_index=True)
