"""A seeded part of the samples, for metrics that compare every sample with every other."""

import numpy as np


def subsample(codes: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Positions of at most ``most`` samples, in their order: all, or of every class its share, at least one.

    Parameters
    ----------
    codes : array of shape (n,)
        The class of each sample, 0..K-1.
    most : int
        At least 2.
    seed : int
        Which samples; the same number gives the same samples.
    """
    if most < 2:
        raise ValueError(f"at most {most} samples are asked for; allowed is 2 or more")
    if len(codes) <= most:
        return np.arange(len(codes))
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]  # class by class, at random within each
    sizes = np.bincount(codes)
    place = np.arange(len(codes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within the class
    share = place / np.repeat(sizes, sizes)
    return np.sort(order[np.argsort(share, kind="stable")[: max(most, np.count_nonzero(sizes))]])
