"""Digests of all that decides numbers, one per kind of step: the same on every CPU, or `pinned_arithmetic` fails.

``python -m ncrepro digests [NAME ...]`` prints them as CSV; a NAME may be the beginning of several. The reference is
made by ``python -m ncrepro digests > data/reference/digests.csv``; ``bench/emulate.sh`` asks other CPUs than one's own.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd
import torch
from scipy import linalg, special, stats
from sklearn.manifold import TSNE
from torch.nn import functional as F

from .. import metrics, ranking
from ..extraction import last_layer
from ..extraction.samples import Images, Series
from ..lab import losses, models, objectives, small_network_features, training, training_loop
from ..lab.datasets import builtin, captioned
from ..lab.datasets import scenes as scenes_data
from ..lab.models import segmentation as segmentation_networks
from ..lab.models import text as text_networks
from ..lab.models import time_series as series_networks
from ..lab.recipes import Polynomial
from ..lab.tasks import modalities as modalities_task
from ..lab.tasks import segmentation as segmentation_task
from ..lab.tasks import selfsupervised as selfsupervised_task
from ..lab.tasks import text as text_task
from ..lab.tasks import time_series as series_task
from ..metrics import registry
from ..metrics.scores import score
from ..store import paths
from ..store.schema import unknown

N_CLASSES = 6


def digest(arrays: Iterable) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of what ``arrays`` hold, types and shapes included."""
    hasher = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array.detach() if hasattr(array, "detach") else array, order="C")
        hasher.update(f"{array.dtype.str} {array.shape}".encode())
        hasher.update(array.tobytes())
    return hasher.hexdigest()[:12]


def reference() -> dict[str, str]:
    """The committed digests by name."""
    return pd.read_csv(paths.reference("digests.csv"), dtype=str).set_index("name")["digest"].to_dict()


def differing_names() -> list[str]:
    """The names of the committed digests that differ on this machine, or with the present code."""
    known = names()
    return [name for name, was in reference().items() if name not in known or digest(known[name]()) != was]


# Libraries ------------------------------------------------------------------------------------------------------------


def numpy_functions() -> Iterable:
    """The functions that are used. In single precision, log1p, cbrt and others of the C library are not used: its
    versions differ.
    """
    rng = np.random.default_rng(0)
    for kind in (np.float64, np.float32):
        x = rng.standard_normal((37, 101)).astype(kind)
        positive = np.abs(x)
        yield from (f(x) for f in (np.exp, np.sin, np.cos, np.tanh, np.square, np.rint))
        yield from (f(positive) for f in (np.log, np.log2, np.sqrt))
        yield from (x / positive, positive**x, np.hypot(x, positive))
        for f in (np.sum, np.mean, np.var, np.max, np.cumsum, np.linalg.norm):
            yield from (f(x, axis=axis) for axis in (0, 1, None))
        yield from (np.sort(x), np.quantile(x, [0.025, 0.5, 0.975]), np.fft.irfft2(np.fft.rfft2(x)))
    x = rng.standard_normal(999)
    yield from (np.log1p(np.abs(x)), np.arctan2(x, x[::-1]), np.logaddexp(x, x[::-1]))
    yield from (draw(50) for draw in (rng.random, rng.standard_normal, rng.standard_exponential, rng.standard_cauchy))
    yield from (rng.beta(0.4, 0.4, 50), rng.gamma(2.5, size=50), rng.permutation(50), rng.choice(50, 20, replace=False))


def numpy_algebra() -> Iterable:
    """Products and decompositions of NumPy, by OpenBLAS."""
    rng = np.random.default_rng(0)
    for kind in (np.float64, np.float32):
        x = rng.standard_normal((150, 90)).astype(kind)
        gram = x.T @ x
        yield from (gram, x @ gram, x[0] @ x[1], gram @ x[0], np.einsum("ij,ij->j", x, x), *np.linalg.eigh(gram))
        yield from (*np.linalg.svd(x, full_matrices=False), *np.linalg.qr(x))
        yield from (np.linalg.cholesky(gram), np.linalg.inv(gram))
        yield from (np.linalg.solve(gram, x[0]), np.linalg.lstsq(x, x[:, 0] ** 2)[0], np.linalg.slogdet(gram)[1])
    large = rng.standard_normal((700, 400))  # beyond a block of any cache
    yield from (large.T @ large, (large.T @ large).astype(np.float32) @ large.T.astype(np.float32))


def scipy_algebra() -> Iterable:
    """Decompositions of SciPy, and its special and statistical functions."""
    x = np.random.default_rng(0).standard_normal((150, 90))
    gram, tridiagonal = x.T @ x, (np.arange(1.0, 61), np.full(59, 0.3))
    yield from (*linalg.eigh(gram), *linalg.eigh(gram, gram + np.eye(90)))
    yield linalg.eigvalsh(gram, subset_by_index=(89, 89))
    yield from (*linalg.svd(x, full_matrices=False), linalg.cholesky(gram))
    yield from (linalg.solve(gram, x[0], assume_a="pos"), linalg.pinv(x))
    yield from (linalg.solve_triangular(linalg.cholesky(gram), x.T), linalg.cho_solve(linalg.cho_factor(gram), x.T))
    yield from (linalg.eigvalsh_tridiagonal(*tridiagonal), *linalg.eigh_tridiagonal(*tridiagonal))
    yield linalg.blas.dsyrk(1.0, x)
    yield from (special.logsumexp(x, axis=1), special.softmax(x, axis=1), special.gammaln(np.abs(x)), special.ndtr(x))
    yield from (stats.rankdata(x[0]), stats.kendalltau(x[0], x[1]).pvalue, stats.binomtest(7, 20).pvalue)


def torch_functions() -> Iterable:
    """Functions, sums and products of torch, most of them in single precision."""
    x = torch.randn(37, 101, generator=torch.Generator().manual_seed(0))
    positive = x.abs()
    yield from (f(x) for f in (torch.exp, torch.sigmoid, torch.tanh, torch.erf, torch.sin, torch.cos))
    yield from (f(x) for f in (F.gelu, F.silu, F.hardswish))
    yield from (f(positive) for f in (torch.log, torch.rsqrt, torch.log1p))
    yield from (positive**0.3, x.softmax(1), x.log_softmax(0), x.logsumexp(0))
    yield from (x.norm(dim=1), x.std(0), x.quantile(0.1), F.normalize(x))
    yield from (x.sum(), x.sum(0), x.mean(1), x.double().sum(0), x.cumsum(1))
    yield from (F.layer_norm(x, (101,)), F.one_hot(x.argmax(1)))
    yield from (x @ x.T, x.double() @ x.T.double(), x[0] @ x[1], torch.einsum("ij,kj->ik", x, x))
    yield torch.baddbmm(x[None], x[None, :, :9], x[None, :9])


# What is drawn --------------------------------------------------------------------------------------------------------


def images(name: str) -> Iterable:
    """The first ten images of a data set of `datasets.builtin`."""
    return [builtin.generate(name, "train", 10).images]


def scenes(name: str) -> Iterable:
    """The first three scenes of a domain of `lab.datasets.scenes`, and their masks."""
    first = scenes_data.generate(name, "train", 3)
    return (first.images, first.masks)


# Training and extraction ----------------------------------------------------------------------------------------------


def _noise(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, with a patch whose place depends on the class."""
    images = np.random.default_rng(0).integers(0, 150, (n, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(n) % N_CLASSES
    for image, k in zip(images, labels, strict=True):
        image[:, 5 * k : 5 * k + 8, 8:24] += 100
    return images, labels


def supervised(architecture: str) -> Iterable:
    """A step of pre-training in the batches of the supervised pool, two of fine-tuning, and the features."""
    x, y = _noise(48)
    network = models.build(architecture, N_CLASSES, seed=0)
    training.fit(network, x, y, training.Recipe(1, 48, 0.1), seed=0)
    last_layer.replace(network, N_CLASSES, seed=0)
    training.fit(network, x, y, training.Recipe(1, 24, 0.06), seed=0)
    return (*network.state_dict().values(), *small_network_features.extract(network, x))


def loss(name: str) -> Iterable:
    """Two steps of training with that loss, and the features."""
    x, y = _noise(24)
    network = models.build("resnet50", N_CLASSES, seed=0)
    history = training.fit(network, x, y, training.Recipe(2, 24, 0.1), seed=0, loss=name)
    extracted = small_network_features.extract(losses.adapt(network, name), x)
    return (*network.state_dict().values(), *extracted, history)


def selfsupervised(objective: str) -> Iterable:
    """Two epochs of a step each: what clusters its features does so before the second."""
    x, _ = _noise(64)
    network = models.build("resnet50", N_CLASSES, seed=0)
    width = network.fc.in_features
    network.fc = models.nn.Identity()
    whole = objectives.build(objective, network, width, len(x), seed=0)
    objectives.fit(whole, x, objectives.Recipe(2, 64, 0.005), seed=0)
    return whole.state_dict().values()


def linear_probe_of_a_network() -> Iterable:
    """What a self-supervised pre-training is judged by: logistic regression on features, and their collapse."""
    x, y = _noise(96)
    split = Images("noise", "train", x, y, tuple("abcdef"))
    accuracy, use = selfsupervised_task.probe(models.build("resnet50", N_CLASSES, seed=0), split, split)
    return (accuracy, *use)


def segmentation() -> Iterable:
    """Training on scenes, pixels as samples, and what is measured."""
    rng = np.random.default_rng(0)
    masks = np.kron(rng.integers(0, 4, (16, 6, 6)), np.ones((8, 8), int)).astype(np.uint8)  # (16, 48, 48)
    images = (rng.integers(0, 100, (16, 3, 48, 48)) + 40 * masks[:, None]).astype(np.uint8)
    data = scenes_data.Scenes("noise", "train", images, masks, tuple("abcd"))
    network = segmentation_networks.build("pspnet_resnet18", 4, seed=0)
    history = segmentation_task.fit(network, data, Polynomial(1, 8, 0.002), seed=0)
    last_layer.replace(network, 4, 1, segmentation_networks.initialise)
    history += segmentation_task.fit(network, data, Polynomial(1, 8, 0.003), seed=1)
    places = segmentation_task.sample_pixels(list(masks), 4, 30, seed=0)
    return (*network.state_dict().values(), history, *segmentation_task.evaluate(network, data).values(),
            *segmentation_task.pixel_features(network, data, places).values())  # fmt: skip


def text(architecture: str) -> Iterable:
    """Two steps in the batches of the pre-training, two in those of the fine-tuning, and the features."""
    rng, variant = np.random.default_rng(0), text_networks.ARCHITECTURES[architecture]
    tokens = torch.from_numpy(rng.integers(3, text_networks.VOCABULARY, (64, variant.length)))
    for row, length in enumerate(rng.integers(5, tokens.shape[1], len(tokens))):
        tokens[row, length:] = text_networks.PADDING
    labels = torch.arange(len(tokens)) % N_CLASSES
    network = text_networks.build(architecture, N_CLASSES, seed=0)
    objective = text_task.OBJECTIVES[variant.objective]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for size, rate in ((32, 0.003), (16, 0.002)):
            batches = zip(tokens.split(size)[:2], labels.split(size)[:2], strict=True)
            found = (objective(network, text_task.without_padding(batch), truth) for batch, truth in batches)
            recipe = Polynomial(1, size, rate, weight_decay=0.01, power=1.0)
            training_loop.descend(
                network, recipe, 2, [found].__getitem__, torch.optim.AdamW, training_loop.polynomial(1.0)
            )
            last_layer.replace(network, N_CLASSES, seed=0)
    with torch.inference_mode():
        return (*network.state_dict().values(), network.features(text_task.without_padding(tokens)))


def time_series(architecture: str) -> Iterable:
    """Two steps in the batches of the pre-training, two in those of the fine-tuning for speech, and the features."""
    rng = np.random.default_rng(0)

    def noise(n: int, n_channels: int, longest: int, shortest: int) -> Series:
        values = rng.standard_normal((n, n_channels, longest)).astype(np.float32)
        lengths = rng.integers(shortest, longest + 1, n)
        values[np.arange(longest) >= np.broadcast_to(lengths[:, None, None], values.shape)] = 0
        return Series("noise", "train", values, lengths, np.arange(n) % N_CLASSES, tuple("abcdef"))

    source, target = noise(32, 1, 64, 64), noise(36, 12, 26, 7)
    network = series_networks.build(architecture, N_CLASSES, seed=0)
    history = series_task.fit(network, source, Polynomial(1, 16, 0.005), seed=0)
    series_networks.replace_classifier(network, 12, N_CLASSES, seed=0)
    history += series_task.fit(network, target, Polynomial(1, 18, 0.005), seed=0)
    extracted = [network.features(*part) for part in series_task._parts(target)]
    return (*network.state_dict().values(), history, *extracted)


def modalities(fusion: str) -> Iterable:
    """Two epochs of a pair in one way of fusing, and its answers."""
    rng = np.random.default_rng(0)
    images = training.prepare(rng.integers(0, 256, (32, 3, 32, 32)).astype(np.uint8))
    items = images, torch.from_numpy(rng.integers(3, text_networks.VOCABULARY, (32, 8)))
    reader = text_networks.build("nezha", N_CLASSES, seed=0)
    pair = modalities_task.Pair(models.build("resnet50", N_CLASSES, seed=0), reader)
    history = modalities_task.fit(pair, items, np.arange(32) % N_CLASSES, Polynomial(2, 16, 0.005), 0, fusion)
    return (*pair.state_dict().values(), history, modalities_task.logits(pair, items))


def captions(name: str) -> Iterable:
    """Images, labels and texts of both splits of a target of two modalities."""
    for split in ("train", "test"):
        made = captioned.MAKERS[name](split)
        yield made.images
        yield made.labels
        yield np.frombuffer("\n".join(made.texts).encode(), np.uint8)


# Scores ---------------------------------------------------------------------------------------------------------------


def _features(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % N_CLASSES
    spread = rng.integers(1, 2**12, d) / 2**10  # no transcendental function: the same bytes everywhere
    noise = rng.integers(-(2**10), 2**10, (3, n, d)).sum(0) / 2**10
    return ((rng.integers(-2, 3, (N_CLASSES, d))[labels] / 2 + noise) * spread).clip(0).astype(np.float32), labels


def scores(n: int, d: int) -> Iterable:
    """The competitors, FaCe's other reading and the linear probe; more samples than features, or fewer."""
    H, y = _features(n, d)
    probs = H[:, :20] + 0.01
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # no more samples than features
        found = metrics.all_scores(H, y, probs / probs.sum(1, keepdims=True))
    probe = found.pop("linear_probe")
    competitors = (value for name, value in found.items() if registry.split(name)[0] not in registry.beside())
    return (*competitors, *metrics.face(H, y, include_self=True), probe)


def scores_beside(n: int, d: int) -> Iterable:
    """The metrics that stand beside the competitors."""
    H, y = _features(n, d)
    of_features = [name for name in registry.beside() if registry.METRICS[name].needs == registry.FEATURES]
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # no more samples than features
        return [score(name, H, y) for name in of_features]


def tsne() -> Iterable:
    """As `Experiment.embed` draws it."""
    H, _ = _features(60, 40)
    return [TSNE(perplexity=15, init="pca", random_state=0, max_iter=300).fit_transform(H)]


def rankings() -> Iterable:
    """Totals, every statistic, and its bootstrap."""
    rng = np.random.default_rng(0)
    names = list("abcdefghijk")
    terms = pd.DataFrame(rng.integers(0, 999, (11, 3)) / 7, names, list("xyz"))
    accuracies = pd.DataFrame(rng.integers(0, 999, (11, 3)) / 10, names, list("uvw"))
    totals = ranking.total(terms)
    yield totals
    yield ranking.static_baseline(accuracies)
    for statistic in (ranking.weighted_kendall, ranking.pearson, ranking.spearman, ranking.regret):
        yield statistic(totals, accuracies["u"])
        yield ranking.bootstrap(statistic, accuracies["u"], accuracies["v"], 200)
    yield ranking.bootstrap_interval(ranking.weighted_kendall, terms.set_axis(list("uvw"), axis=1), accuracies)


def names() -> dict[str, Callable[[], Iterable]]:
    """Everything that has a digest."""
    small_texts = [name for name, variant in text_networks.ARCHITECTURES.items() if variant.checkpoint is None]
    return {
        "numpy functions": numpy_functions,
        "numpy algebra": numpy_algebra,
        "scipy algebra": scipy_algebra,
        "torch functions": torch_functions,
        **{f"images {name}": partial(images, name) for name in builtin.NAMES},
        **{f"scenes {name}": partial(scenes, name) for name in scenes_data.NAMES},
        "scores 240x64": partial(scores, 240, 64),
        "scores 90x128": partial(scores, 90, 128),
        "scores beside 240x64": partial(scores_beside, 240, 64),
        "scores beside 90x128": partial(scores_beside, 90, 128),
        "tsne": tsne,
        "rankings": rankings,
        **{f"supervised {name}": partial(supervised, name) for name in models.names()},
        **{f"loss {name}": partial(loss, name) for name in losses.LOSSES},
        **{f"selfsupervised {name}": partial(selfsupervised, name) for name in objectives.OBJECTIVES},
        "probe": linear_probe_of_a_network,
        "segmentation": segmentation,
        **{f"text {name}": partial(text, name) for name in small_texts},
        **{f"time_series {name}": partial(time_series, name) for name in series_networks.ARCHITECTURES},
        **{f"captioned {name}": partial(captions, name) for name in captioned.NAMES},
        **{f"modalities {fusion}": partial(modalities, fusion) for fusion in modalities_task.FUSIONS},
    }


def write(prefixes: list[str]) -> None:
    """Print as CSV the digests whose names begin with one of ``prefixes``; none asks for all.

    Raises
    ------
    ValueError
        If no name begins so.
    """
    known = names()
    for name in prefixes:
        if not any(other.startswith(name) for other in known):
            raise ValueError(unknown("digest", name, known))
    print("name,digest")
    for name, make in known.items():
        if not prefixes or name.startswith(tuple(prefixes)):
            print(f"{name},{digest(make())}", flush=True)
