"""Neural collapse epoch by epoch: a network trained far beyond its last mistake, and a pool's models in fine-tuning."""

from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from .. import metrics, ranking
from ..extraction import last_layer
from ..ranking import resampling
from ..store import fingerprint, jobs, paths
from ..store.artifacts import Arrays
from . import datasets, models, small_network_features, training
from .analyses import stack
from .experiment import Experiment, writes_tables
from .profiles import Model
from .tasks import classification

# The network that is trained into the terminal phase. Images are not moved, so that every one can be learned by heart;
# a weight decay ten times the pools' lets the features collapse in a hundred epochs rather than in thousands.
TERMINAL = {
    "architecture": "resnet34",
    "dataset": "digits",
    "recipe": {"epochs": 100, "batch_size": 32, "learning_rate": 0.05, "weight_decay": 5e-3, "shift": 0},
    "seed": 0,
    "snapshots": [1, 4, 16, 100],  # epochs whose features are kept
}
SHOWN = (0, 1, 2)  # the classes whose plane is shown

_TRIANGLE = np.array([[0.0, 1.0], [-np.sqrt(0.75), -0.5], [np.sqrt(0.75), -0.5]])


class Trajectories(Experiment):
    """The supervised pool's models, and one network beside it, followed through their training.

    Parameters
    ----------
    profile : str, optional
        ``smoke``, ``demo``, ...; None reads ``NCREPRO_PROFILE``, else takes ``demo``.
    """

    def __init__(self, profile: str | None = None):
        super().__init__("supervised", profile)
        self.results = paths.results(self.profile.name, "neural_collapse")

    @writes_tables("terminal_phase", "terminal_plane")
    def reach_terminal_phase(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Train the network of `TERMINAL` and measure neural collapse on its training images after every epoch.

        Returns
        -------
        measures : DataFrame (epoch, loss, accuracy, nc1, nc2_equinorm, nc2_equiangularity, nc2_maximal_angle, nc3, nc4)
            ``accuracy``: on the training images, per cent; the others as `collapse_of` gives them.
        plane : DataFrame (epoch, kind, label, x, y)
            At each snapshot the features of three classes in the plane of their means, see `plane_of_means`.
        """
        spec = {
            **TERMINAL,
            "seed": TERMINAL["seed"] + 1000 * self.profile.repetition,
            "max_per_class": self.pool.max_per_class,
            "code": fingerprint.of(fingerprint.root(_train)),
        }
        job = self._job("trajectories", "terminal-phase", spec, partial(_train, spec))
        (arrays,) = self._run("train into the terminal phase", [job])
        measures = pd.DataFrame({name: arrays[name] for name in ("epoch", "loss", "accuracy", *MEASURES)})
        planes = {
            epoch: plane_of_means(arrays[f"features.{epoch}"], arrays["labels"], arrays[f"weights.{epoch}"])
            for epoch in spec["snapshots"]
        }
        return self.write("terminal_phase", measures), self.write("terminal_plane", stack(planes, "epoch"))

    @writes_tables("following")
    def follow(self) -> pd.DataFrame:
        """FaCe's terms on the target's train split, before fine-tuning (epoch 0) and after each of its epochs.

        `families` of the pool on its last two targets, fine-tuned as for the ground truth: measuring changes nothing.

        Returns
        -------
        DataFrame (model, target, epoch, variance_collapse, class_fairness)
        """
        runs = [(model, target) for target in self.pool.targets[-2:] for model in families(self.pool.models)]
        made = self._run("follow the fine-tuning", [self._following(*run) for run in runs])
        tables = [
            pd.DataFrame({"model": model.name, "target": target, "epoch": np.arange(len(arrays["variance_collapse"])),
                          **{term: arrays[term] for term in metrics.FaCeTerms._fields}})
            for (model, target), arrays in zip(runs, made, strict=True)
        ]  # fmt: skip
        return self.write("following", pd.concat(tables))

    def _following(self, model: Model, target: str):
        origin, finetuning = self._pretraining(model), self._finetuning(model, target, 0)
        spec = {**finetuning.spec, "code": fingerprint.of(fingerprint.root(_follow))}
        step = partial(jobs.from_pretrained, _follow, spec, origin[1:3])
        return self._job("trajectories", f"{model.name}-{target}", spec, step)


def families(pool: tuple[Model, ...]) -> list[Model]:
    """One model of each family of architectures (resnet, densenet, ...): the last that the pool names."""
    return list({model.architecture.rstrip("0123456789").split("_")[0]: model for model in pool}.values())


# What is measured -----------------------------------------------------------------------------------------------------

MEASURES = ("nc1", "nc2_equinorm", "nc2_equiangularity", "nc2_maximal_angle", "nc3", "nc4")


def collapse_of(H: np.ndarray, labels: np.ndarray, weights: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """NC1 to NC4 of a classifier on labelled images; 0 is collapse for each (see `ncrepro.metrics.collapse`).

    Parameters
    ----------
    H : array of shape (n, d)
        Features.
    labels : array of shape (n,)
    weights : array of shape (K, d)
        Of the linear classifier, in the order of the sorted labels.
    predictions : array of shape (n,)
        The classifier's labels.
    """
    nc = metrics.collapse
    values = (nc.nc1(H, labels), *nc.nc2(H, labels), nc.nc3(H, weights, labels), nc.nc4(H, labels, predictions))
    return dict(zip(MEASURES, values, strict=True))


def plane_of_means(H: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> pd.DataFrame:
    r"""The features of three classes in the plane of their means, turned so that collapse shows as an upright triangle.

    With M (3, d) the means of the classes `SHOWN` minus their centre and T (3, 2) the corners of an equilateral
    triangle, the directions are the two columns of P = V Uᵀ from the singular value decomposition TᵀM = U S Vᵀ: of all
    orthonormal pairs the one that brings M nearest to T (the orthogonal Procrustes problem). The unit of length is the
    mean length of the projected means, so that collapsed means lie on T itself.

    Parameters
    ----------
    H : array of shape (n, d)
    labels : array of shape (n,), int, 0 to K - 1
    weights : array of shape (K, d)
        The linear classifier; its three rows are centred, turned likewise and scaled by their own mean length.

    Returns
    -------
    DataFrame (kind, label, x, y)
        ``kind``: ``sample``, ``mean`` or ``weight``.
    """
    means = np.stack([H[labels == k].mean(axis=0, dtype=float) for k in SHOWN])  # (3, d)
    centre = means.mean(axis=0)
    U, _, Vt = np.linalg.svd(_TRIANGLE.T @ (means - centre), full_matrices=False)
    P = Vt.T @ U.T  # (d, 2)
    rows = weights[list(SHOWN)].astype(float)
    own = np.isin(labels, SHOWN)
    z, m, w = (H[own] - centre) @ P, (means - centre) @ P, (rows - rows.mean(axis=0)) @ P  # (., 2) each
    unit, unit_of_weights = (np.linalg.norm(points, axis=1).mean() for points in (m, w))
    parts = (("sample", labels[own], z / unit), ("mean", SHOWN, m / unit), ("weight", SHOWN, w / unit_of_weights))
    tables = [pd.DataFrame({"kind": kind, "label": names, "x": xy[:, 0], "y": xy[:, 1]}) for kind, names, xy in parts]
    return pd.concat(tables, ignore_index=True)


def terminal_epoch(measures: pd.DataFrame) -> int | None:
    """The epoch at which the terminal phase begins: the first without a mistake on the training images, or None."""
    perfect = measures.loc[measures["accuracy"] == 100, "epoch"]
    return None if perfect.empty else int(perfect.iloc[0])


def order_kept(following: pd.DataFrame) -> pd.DataFrame:
    """How far the models' order by variance collapse after each epoch is still their order before fine-tuning.

    Returns
    -------
    DataFrame (target, epoch, pairs_kept, weighted_kendall)
        ``pairs_kept``: share of the pairs of models that are in the same order, (1 + Kendall's τ) / 2; chance is 1/2.
    """
    rows = []
    for target, group in following.groupby("target", sort=False):
        table = group.pivot(index="model", columns="epoch", values="variance_collapse")
        for epoch in table.columns:
            pairs = (1 + kendalltau(table[0], table[epoch]).statistic) / 2
            agreement = ranking.weighted_kendall(table[0], table[epoch])
            rows.append({"target": target, "epoch": epoch, "pairs_kept": pairs, "weighted_kendall": agreement})
    return pd.DataFrame(rows)


def pairs_kept(following: pd.DataFrame) -> pd.DataFrame:
    """The last epoch's ``pairs_kept`` of `order_kept` in draws of the models with replacement: draws x targets.

    A pair of a model with itself does not count. NaN if fewer than `resampling.FEW` models were followed.
    """
    found = {}
    for target, group in following.groupby("target", sort=False):
        table = group.pivot(index="model", columns="epoch", values="variance_collapse").to_numpy()
        counts = resampling.counts_of_models(len(table), np.random.default_rng(0))
        first, last = (np.sign(x[:, None] - x[None, :]) for x in (table[:, 0], table[:, -1]))
        pairs = 1.0 - np.eye(len(table))
        same, all_pairs = (
            np.einsum("bi,ij,bj->b", counts, weight, counts) for weight in (pairs * (1 + first * last) / 2, pairs)
        )
        found[target] = resampling.widened(np.where(all_pairs > 0, same / np.maximum(all_pairs, 1), 0.5), len(table))
    return pd.DataFrame(found)


# What the jobs do -----------------------------------------------------------------------------------------------------


def _train(spec: dict) -> Arrays:
    data = datasets.load(spec["dataset"], "train", spec["max_per_class"])
    network = models.build(spec["architecture"], data.n_classes, spec["seed"])
    history, snapshots = [], {"labels": data.labels}

    def look(epoch: int, loss: float) -> None:
        H, probs = small_network_features.extract(network, data.images)
        weights, predictions = last_layer.find(network).weight.detach().numpy().copy(), probs.argmax(axis=1)
        accuracy = 100 * (predictions == data.labels).mean()
        collapse = collapse_of(H, data.labels, weights, predictions)
        history.append({"epoch": epoch, "loss": loss, "accuracy": accuracy, **collapse})
        if epoch in spec["snapshots"]:
            snapshots.update({f"features.{epoch}": H, f"weights.{epoch}": weights})

    training.fit(network, data.images, data.labels, training.Recipe(**spec["recipe"]), spec["seed"], look)
    return snapshots | {name: np.array([epoch[name] for epoch in history]) for name in history[0]}


def _follow(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """`tasks.classification.finetune`, with FaCe's terms before it and after every epoch."""
    train, test = (datasets.load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    network = classification.restore(pretrained_spec, pretrained)
    last_layer.replace(network, train.n_classes, spec["seed"])
    terms = []

    def look(*_: float) -> None:
        terms.append(metrics.face(small_network_features.extract(network, train.images).features, train.labels))

    look()
    training.fit(network, train.images, train.labels, training.Recipe(**spec["recipe"]), spec["seed"], look)
    columns = zip(metrics.FaCeTerms._fields, np.array(terms).T, strict=True)
    return dict(columns) | {"accuracy": np.array(training.accuracy(network, test.images, test.labels))}
