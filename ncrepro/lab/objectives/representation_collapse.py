"""Has a representation collapsed, so that all images look alike to it?"""

from typing import NamedTuple

import numpy as np

SMALLEST_STD = 0.05
SMALLEST_RANK = 2.0


class Collapse(NamedTuple):
    """How much of the feature space a representation uses; each number falls as it collapses."""

    feature_std: float  # 0: all images have the same direction; 1: directions are spread evenly
    effective_rank: float  # 1 to d: in how many directions the features vary
    live_features: float  # 0 to 1: share of the features that are not constant

    @property
    def collapsed(self) -> bool:
        """Whether directions hardly vary, or vary along one line only: such a model cannot be ranked."""
        return self.feature_std < SMALLEST_STD or self.effective_rank < SMALLEST_RANK


def measure(features: np.ndarray) -> Collapse:
    r"""How much of the feature space is used.

    Parameters
    ----------
    features : array of shape (n, d)

    Returns
    -------
    Collapse
        ``feature_std``: :math:`\sqrt d` times the mean over features of the standard deviation of :math:`h / \lVert h
        \rVert` (Chen and He, *Exploring Simple Siamese Representation Learning*, CVPR 2021, Section 4.1).
        ``effective_rank``: :math:`\exp(-\sum_i p_i \log p_i)` with p the singular values of the centred features,
        divided by their sum (Roy and Vetterli, *The effective rank*, EUSIPCO 2007). ``live_features``: share of the
        columns that vary.
    """
    H = np.asarray(features, dtype=np.float64)  # (n, d)
    length = np.linalg.norm(H, axis=1, keepdims=True)  # (n, 1)
    directions = H / np.where(length > 0, length, 1)
    centred = H - H.mean(axis=0)
    eigenvalues = np.linalg.eigvalsh(centred.T @ centred).clip(min=0)  # (d,)
    singular = np.sqrt(eigenvalues)
    p = singular / max(singular.sum(), np.finfo(float).tiny)
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)))
    return Collapse(
        feature_std=float(np.sqrt(H.shape[1]) * directions.std(axis=0).mean()),
        effective_rank=float(np.exp(entropy)),
        live_features=float((np.ptp(H, axis=0) > 1e-6 * np.abs(H).max(initial=1e-12)).mean()),
    )
