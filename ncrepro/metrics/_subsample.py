"""A seeded part of the samples, for metrics that compare every sample with every other."""

import numpy as np

from ._arrays import check_whole


def subsample(codes: np.ndarray, most: int, seed: int, name: str = "max_samples") -> np.ndarray:
    """Positions of at most ``most`` samples, in their order: all, or of every class its share, at least one.

    ``codes`` (n,) are the samples' classes, 0..K-1; the option ``name`` says how many, and ``seed`` which ones.
    """
    check_whole(name, most, 2)
    check_whole("seed", seed, 0)
    if len(codes) <= most:
        return np.arange(len(codes))
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]  # class by class, at random within each
    sizes = np.bincount(codes)
    place = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within the class
    share = place / np.repeat(sizes, sizes)
    return np.sort(order[np.argsort(share, kind="stable")[: max(most, np.count_nonzero(sizes))]])
