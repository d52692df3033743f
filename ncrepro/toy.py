"""Feature spaces that fit on a page: Gaussian clouds in the plane, standing for what different models make of one target."""

import numpy as np
import pandas as pd

CENTRES = {  # three classes each
    "even": np.array([[0.0, 1.0], [-0.87, -0.5], [0.87, -0.5]]),  # an equilateral triangle
    "biased": np.array([[-1.35, 0.0], [1.05, 0.33], [1.05, -0.33]]),  # two classes that can hardly be told apart
}


def clouds(arrangement: str, spread: float, per_class: int = 100, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features (3 per_class, 2) and labels of three classes round the ``CENTRES`` of an arrangement."""
    rng = np.random.default_rng(seed)
    centres = CENTRES[arrangement]
    labels = np.repeat(np.arange(len(centres)), per_class)
    return centres[labels] + spread * rng.standard_normal((len(labels), 2)), labels


def spread_of_equal_collapse(collapse, arrangement: str, wanted: float) -> float:
    """The spread at which ``collapse(features, labels)`` of an arrangement is ``wanted``.

    Within-class covariance grows with the square of the spread while the centres stay, so one evaluation suffices up to
    the wobble of the empirical centres; a few more remove that.
    """
    spread = 0.3
    for _ in range(20):
        spread *= np.sqrt(wanted / collapse(*clouds(arrangement, spread)))
    return float(spread)


def as_table(spaces: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Feature spaces as one tidy table (space, label, x, y)."""
    tables = [
        pd.DataFrame({"space": name, "label": labels, "x": features[:, 0], "y": features[:, 1]})
        for name, (features, labels) in spaces.items()
    ]
    return pd.concat(tables, ignore_index=True)
