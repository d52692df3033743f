r"""OTCE, optimal transport based conditional entropy (Tan et al., CVPR 2021), in its fast form, F-OTCE."""

from importlib import import_module

import numpy as np

from ._arrays import Array, host, rows
from ._subsample import subsample
from .leep import nce_of
from .samples import Samples, samples

MOST_SAMPLES = 2000  # of either side: the coupling of 2,000 with 2,000 takes seconds, and its time grows with the cube


def otce(
    source_samples: Samples, features: Array, labels: Array, *, max_samples: int = MOST_SAMPLES, seed: int = 0
) -> float:
    r"""How well the labels of source samples predict those of the target samples that optimal transport couples with
    them.

    .. math::
        \pi^* = \arg\min_{\pi \in \Pi(1/m, 1/n)} \sum_{i,j} \|s_i - h_j\|^2\, \pi_{ij}, \qquad
        \hat P(z, y) = \sum_{i: z_i = z} \sum_{j: y_j = y} \pi^*_{ij}

    .. math::
        \text{F-OTCE} = -H(Y \mid Z) = \sum_{z,y} \hat P(z, y) \log \frac{\hat P(z, y)}{\hat P(z)}

    with :math:`s_i` the m source samples' features and :math:`z_i` their labels, :math:`h_j` and :math:`y_j` the
    target's: :func:`nce` with a coupling in the place of a source classifier.

    Parameters
    ----------
    source_samples : Samples
        Features of labelled samples of what the model was trained on, by the same model: `Samples(features, labels)`.
    features : array of shape (n, d)
        The target's. NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings.
    max_samples : int
        If one side has more samples than this, only this many of them are coupled, from each class its share.
    seed : int
        Seed of the random choice of these samples.

    Returns
    -------
    float
        In nats, in [-log K, 0]; higher is better, 0 means that the source class determines the target label.

    Raises
    ------
    ValueError
        For NaN or infinite features, wrong shapes or types, lengths that differ, fewer than two classes on either side,
        features without variance, source features of another dimension, resamples.
    ImportError
        Without the package POT: ``pip install "ncrepro[otce]"``.

    Notes
    -----
    Source: https://arxiv.org/abs/2103.13843 and the authors' demo code. The OTCE of the paper adds the cost of the
    transport, the difference of the domains, with weights that are fitted to auxiliary tasks whose transfer accuracies
    are known. A ranking of models has no such tasks. In that case the authors recommend the conditional entropy alone,
    and later named it F-OTCE (https://arxiv.org/abs/2207.05510), beside JC-OTCE, which adds distances of labels to the
    cost and is not computed here. Their demo code solves the transport exactly, as here; the papers add an entropic
    penalty.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> features, labels = load_iris(return_X_y=True)
    >>> source = Samples(features[::2], labels[::2])
    >>> round(otce(source, features[1::2], labels[1::2]), 3)
    -0.186
    """
    try:
        transport = import_module("ot.lp")  # optional: the metrics need four libraries, and this is none of them
    except ImportError:
        raise ImportError('otce needs the package POT: pip install "ncrepro[otce]"') from None
    target = samples(features, labels)
    if not isinstance(source_samples, Samples):
        raise ValueError(
            f"source_samples are a {type(source_samples).__name__}; give labelled features: "
            "ncrepro.metrics.Samples(source_features, source_labels)"
        )
    if source_samples.n_features != target.n_features:
        raise ValueError(
            f"source features have {source_samples.n_features} dimensions, those of the target {target.n_features}; "
            "both must come from one model"
        )
    (s, z), (h, y) = (_sample(side, max_samples, seed) for side in (source_samples, target))
    centre = h.mean(axis=0)  # far from the origin, products would lose digits
    s, h = s - centre, h - centre
    cost = (s**2).sum(axis=1)[:, None] + (h**2).sum(axis=1) - 2 * s @ h.T  # (m, n)
    coupling = transport.emd([], [], cost / cost.max(), numItermax=10_000_000)
    joint = np.stack([coupling[z == of].sum(axis=0) for of in np.unique(z)], axis=1)  # (n, K_s)
    joint = np.stack([joint[y == of].sum(axis=0) for of in np.unique(y)])  # P(y, z), (K, K_s)
    return nce_of(joint)


def _sample(side: Samples, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of one side in float64 and in the axes that they came in."""
    if side.weights is not None:
        raise ValueError("otce takes no resamples: their copies would be coupled as one; give features and labels")
    _ = side.statistics  # checks the features
    kept = subsample(side.codes, most, seed)
    return host(rows(side.as_given, kept, "float64")), side.codes[kept]
