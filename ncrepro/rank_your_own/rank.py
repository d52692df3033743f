"""Which of my models should I fine-tune on my data? One call, `rank`, and the table that answers.

The work is a list of models. Each one's features are taken, scored, and scored again on resamples: in this process,
wherever ``joblib.parallel_config`` says, or on the cluster of ``NCREPRO_CLUSTER``. What a model gave is kept as soon as
it is there, so an interrupted ranking goes on where it stopped.
"""

import numbers
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd

from .. import ranking
from ..extraction import devices, folders
from ..extraction.features import extract, is_steady
from ..metrics import ClassStatistics, Samples, registry
from ..metrics._arrays import check_whole
from ..metrics.scores import check_finite, score
from ..store import artifacts, cluster, fingerprint, memory, paths
from ..store import progress as bars
from ..store.artifacts import Arrays
from ..store.schema import refuse_unknown
from .data import ON_ERROR, Target, open_target
from .given_features import Features, are_features, open_features
from .labels import lookalikes, missing_lookalikes
from .models import Candidate, resolve

OF_GIVEN_FEATURES = {"seconds": 0, "peak_mb": 0, "cut": np.zeros(2, int), "altered": np.False_, "unsteady": np.False_}
RESAMPLED = 4000  # samples in a resample, at most: more would take longer and tell the same
MOST_RESAMPLES = 10_000  # more would tell nothing more of an interval, and take days
FEW_MODELS, FEW_SAMPLES, LOW_AGREEMENT = 5, 20, 0.5
# The smallest set of metrics that no other set clearly outranks over the pools of `notebooks/35_which_metric`, among
# those that need features and labels alone and are cheap enough to be scored on every resample.
DEFAULT = ("ncti", "logme")
NAMED = 8  # models in one caution, at most
DARK = 1 << 14  # images of 16 bits without a number so large may be of 14 bits or fewer
LEVEL = 1.96  # standard errors on either side: 95 % of a normal distribution

MEANING = (
    "A score says how well a model's features of these samples separate these classes, compared with the other models "
    "in this table. It is not an accuracy, cannot be compared with scores in another table, and does not know what "
    "fine-tuning will change: fine-tune the first few models and compare them, not only the first one."
)
EVIDENCE = (
    "These metrics are the default since they are the smallest set whose mean weighted Kendall, over the pools of "
    "small networks in notebooks/35_which_metric, is within one standard error of the best set's. They need features "
    "and labels only."
)
CHOSEN = (
    "These metrics are your choice; notebooks/35_which_metric shows how well each ranks pools with known accuracies."
)


def rank(
    data: Any,
    models: Any = None,
    metrics: str | Sequence[str] = DEFAULT,
    *,
    labels: Any = None,
    text: str = "text",
    label: str = "label",
    max_per_class: int | None = None,
    batch_size: int | None = None,
    device: str | None = None,
    on_error: str = "raise",
    n_bootstrap: int = 50,
    seed: int = 0,
    cache: str | Path | bool = True,
    progress: bool | str = True,
) -> pd.DataFrame:
    r"""Rank pre-trained models by how promising they are to fine-tune on your data.

    Every metric becomes one number per model (NCTI and FaCe by min-max over the pool, `ranking.total`). With M metrics
    :math:`s_1 \dots s_M`,

    .. math:: \text{total} = \frac1M \sum_m \frac{s_m - \min s_m}{\max s_m - \min s_m}

    Parameters
    ----------
    data : path, data set or arrays
        *Images:* a folder with one folder of images per class (``train/`` is taken if there are ``train/`` and
        ``test/``), in any raster format that Pillow reads (`extraction.decode.FORMATS`); a torchvision-style data set
        without transform, whose items give their labels; or uint8 images (n, height, width, 3) with ``labels``.
        *Texts:* a ``.csv`` or JSON-lines file, a DataFrame, or a list with ``labels``. *Features*, extracted elsewhere:
        ``.npz`` files or a folder of them, each with ``features`` and ``labels``; or a dict of one entry per model:
        features (n, d) with ``labels``, a pair (features, labels), a path, a `metrics.ClassStatistics`, or a list of
        shards.
    models : list, dict of name -> model, or names separated by blanks
        *Images:* names of torchvision (``resnet50``) and timm (``timm/vit_small_patch16_224``), weights of your own
        (``resnet50=weights.pth``, or ``mine=resnet50:weights.safetensors``), `torch.nn.Module`, or a pair of a module
        and its transform. *Texts:* Hugging Face names and folders. *Features:* none.
    metrics : list of str
        The default is what `notebooks/35_which_metric` supports: judged on pools whose accuracies after fine-tuning are
        known, NCTI and LogME together are the smallest set within one standard error of the best one; adding FaCe makes
        the ranking no better. It needs features and labels only, and no fitting by trial, so that resamples are cheap.
        Of ``ncti, face, logme, sfda, h_score, regularized_h_score, transrate, gbc, etran, parc, knn, linear_probe,
        nleep, leep, nce``; the last two need models with a source classifier. It is not known whether the last linear
        layer of your own module or file is a classifier or an embedding. It is taken for a classifier, and the table's
        caution says so.
    labels : array of n labels, optional
        Integers or strings, for data that carry none.
    text, label : str
        Columns of a table of texts.
    max_per_class : int, optional
        At most so many samples of each class, drawn with ``seed``.
    batch_size : int, optional
        Samples per forward pass. None starts at what suits the device and halves it when memory runs out.
    device : {"cuda", "mps", "cpu"}, optional
        None takes the first of these that is there.
    on_error : {"raise", "skip"}
        An unreadable image stops the ranking before it starts, or is left out and counted.
    n_bootstrap : int
        Resamples of the samples, drawn within classes, 10,000 at most; 0 for no intervals.
    seed : int
        Draws the sub-sample and the resamples.
    cache : bool or path
        Where features and scores are kept: True for ``data/cache/rank`` (``NCREPRO_CACHE`` in the environment names
        another place for ``data/cache``), False for nowhere. They are found again by the content of samples and
        weights, and of modules and transforms by all that they hold and the files of their classes. Nothing is kept
        where this does not identify them, as with a lambda. (Code that these files import does not count: while you
        change it, use False.)
    progress : bool or "bars"
        Show how far it is, and the cautions at the end: on standard error, in a notebook below the cell; or bars only.

    Returns
    -------
    DataFrame, best model first
        ``rank``; ``model``; one column per metric, higher is better; ``total`` in [0, 1]; ``low`` and ``high``, 95 %
        of the total by bootstrap; ``agreement`` between metrics about this model (1: all give it the same rank, 0:
        first and last); ``n_samples``, ``n_features``; ``seconds`` and ``peak_mb`` (most memory held by the process,
        or by the GPU) it took to extract and score; ``caution``. ``table.attrs`` holds ``cautions`` (all of them, a
        sentence for each kind, with its models and what to do), ``meaning``, ``evidence`` (why these metrics),
        ``agreement`` (mean weighted Kendall between metrics) and ``terms`` (models x terms, before min-max).

    Raises
    ------
    ValueError
        For data, models or metrics that are not valid: the message says what is allowed. All of this is checked before
        any long work.
    OSError
        If weights are missing and cannot be downloaded; the message says which file to put where.

    Notes
    -----
    The interval is the total plus and minus 1.96 standard errors, from totals of resamples under the min-max of the
    full data. It is centred on the total of the full data, not on the resamples' mean: a resample holds samples twice
    and so looks more separable than it is. With more than 4,000 samples, a resample takes 4,000 of them, and its
    deviations shrink by the square root of the share.

    Examples
    --------
    >>> table = ncrepro.rank("path/to/folder", models=["resnet50", "mobilenet_v3_large"])
    """
    names = _checked(metrics, on_error, n_bootstrap, batch_size, seed, cache)
    folder = paths.cache("rank") if cache is True else Path(cache).expanduser() if cache else None
    settings = Settings(names, int(n_bootstrap), int(seed), batch_size, device, folder)
    bar = partial(bars.through, unit="samples", passing=True, shown=bool(progress))
    if are_features(data):
        if models:
            hint = (
                "; if this dict is a table of texts, give pandas.DataFrame(...) of it" if isinstance(data, dict) else ""
            )
            raise ValueError(
                f"the data are features already, so there is nothing for models to read: leave models out{hint}"
            )
        pool: list = open_features(data, labels, max_per_class=max_per_class, seed=seed)
        _check_pool(pool)
        counts, target = np.unique(pool[0].labels, return_counts=True)[1], None
        shards = [model.name for model in pool if model.statistics is not None]
        possible = registry.of_statistics()
        if shards and set(names) - set(possible):
            raise ValueError(
                f"of {shards[0]} there are statistics only, from which metrics={possible} can be computed, not "
                f"{sorted(set(names) - set(possible))}"
            )
    else:
        target = open_target(data, labels, text=text, label=label, max_per_class=max_per_class, seed=seed, progress=bar)
        if target.kind == "texts" and (of_source := _of_source(names)):
            raise ValueError(f"metric {of_source[0]!r} needs a source classifier, which models of texts do not have")
        devices.choose(device)
        pool = resolve(models, target.kind)
        _check_pool(pool)
        _check_folder(folder)
        target = target.checked(on_error, folder, bar)
        counts = target.counts.to_numpy()
    made = _run(settings, pool, target, bool(progress))
    table = _table(made, pool, names, counts, target)
    if progress is True:
        _say(table)
    return table


@dataclass(frozen=True)
class Settings:
    """What is the same for all models of one ranking."""

    metrics: tuple[str, ...]
    n_bootstrap: int
    seed: int
    batch_size: int | None
    device: str | None
    folder: Path | None


def _checked(
    metrics: str | Sequence[str],
    on_error: str,
    n_bootstrap: int,
    batch_size: int | None,
    seed: int,
    cache: str | Path | bool,
) -> tuple[str, ...]:
    listed = [metrics] if isinstance(metrics, str) else list(metrics) if isinstance(metrics, Iterable) else [metrics]
    if not all(isinstance(name, str) for name in listed):
        raise ValueError(f"metrics is {metrics!r}; allowed is the name of a metric, or a list of names")
    names = tuple(dict.fromkeys(listed))
    offered = [name for name, metric in registry.METRICS.items() if metric.needs != registry.SOURCE_SAMPLES]
    for name in names:
        if name in registry.METRICS and name not in offered:
            raise ValueError(
                f"metric {name!r} needs labelled samples of what a model was trained on, which are not among the data; "
                f"call ncrepro.metrics.{name}"
            )
        refuse_unknown("metric", name, offered)
    if not names:
        raise ValueError(f"no metrics; choose some of {', '.join(offered)}")
    refuse_unknown("on_error", on_error, ON_ERROR)
    check_whole("seed", seed, 0)
    if not isinstance(n_bootstrap, numbers.Integral) or not (n_bootstrap == 0 or 2 <= n_bootstrap <= MOST_RESAMPLES):
        raise ValueError(f"n_bootstrap is {n_bootstrap!r}; allowed are 0 and 2 to {MOST_RESAMPLES}, an integer")
    if batch_size is not None:
        check_whole("batch_size", batch_size, 1, ", or None")
    if not isinstance(cache, (str, Path, bool)) and cache is not None:
        raise ValueError(f"cache is {cache!r}; allowed is True, False or a folder")
    return names


def _of_source(metrics: Sequence[str]) -> list[str]:
    """Those that need a source classifier."""
    return [name for name in metrics if registry.METRICS[name].needs_source_classifier]


def _check_pool(pool: list) -> None:
    if len(pool) < 2:
        raise ValueError(f"a ranking needs a pool of at least 2 models, found {len(pool)}; add models")


def _check_folder(folder: Path | None) -> None:
    """Check that features can be kept, before they are extracted."""
    if folder is None:
        return
    try:
        artifacts.check_folder(folder)
    except OSError as error:
        raise OSError(
            f"features cannot be kept in {folder} ({error.strerror}): name another folder with cache=FOLDER, or with "
            "NCREPRO_CACHE in the environment; with cache=False nothing is kept"
        ) from None


# The work -------------------------------------------------------------------------------------------------------------


def _run(settings: Settings, pool: list[Candidate | Features], target: Target | None, progress: bool) -> list[Arrays]:
    """What each model gave, in the order of the pool: kept from before, or made now."""
    files = [_scores_file(settings, model, target) for model in pool]
    made = [artifacts.load(*file) if file else None for file in files]
    missing = [i for i, arrays in enumerate(made) if arrays is None]
    if cluster.address():
        work = partial(_work, settings=settings, target=target, show=False)
        asks = {i: cluster.Work(pool[i].name, gpu=isinstance(pool[i], Candidate)) for i in missing}
        pairs = ((i, pool[i]) for i in missing)
        done = (one.result for _, one in cluster.side_by_side(work, pairs, lambda pair: asks[pair[0]]))
    else:
        alone = joblib.effective_n_jobs(None) == 1  # then the bars of the models themselves can be seen
        jobs = (joblib.delayed(_work)((i, pool[i]), settings, target, progress and alone) for i in missing)
        done = joblib.Parallel(return_as="generator_unordered")(jobs)
    with bars.bar("rank", len(pool), done=len(pool) - len(missing), unit="models", shown=progress) as advance:
        for i, arrays in done:
            made[i] = arrays
            if files[i]:
                artifacts.save(files[i][0], arrays, files[i][1])
            advance(note=pool[i].name)
    return made


def _features_spec(model: Candidate, target: Target) -> dict:
    code = fingerprint.of("ncrepro.rank_your_own.models", "ncrepro.extraction", "ncrepro.rank_your_own.data")
    return {"data": target.key, "model": model.spec, "code": code}


def _scores_file(settings: Settings, model: Candidate | Features, target: Target | None) -> tuple[Path, dict] | None:
    """Where a model's scores are kept, and their spec; None where nothing can be kept."""
    if settings.folder is None or target is None or model.spec is None:
        return None
    spec = {
        "features": artifacts.digest(_features_spec(model, target)),
        "metrics": settings.metrics,
        "n_bootstrap": settings.n_bootstrap,
        "seed": settings.seed,
        "code": fingerprint.of(fingerprint.root(_work)),
    }
    return settings.folder / "scores" / f"{artifacts.digest(spec)}.safetensors", spec


def _work(
    numbered: tuple[int, Candidate | Features], settings: Settings, target: Target | None, show: bool
) -> tuple[int, Arrays]:
    """One model's terms, those of its resamples, and what they cost."""
    i, model = numbered
    memory.reset_peak()
    if isinstance(model, Features):
        extraction, H, y, probs = OF_GIVEN_FEATURES, model.features, model.labels, model.source_probs
    else:
        extraction = _features(settings, model, target, show)
        H, y, probs = extraction["features"], target.data.labels, extraction.get("source_probs")
    started = time.perf_counter()
    if probs is None and (of_source := _of_source(settings.metrics)):
        raise ValueError(
            f"{model.name} has no source classifier, which metric {of_source[0]!r} needs; leave out one of the two"
        )
    try:
        shape, terms, resampled, early = _scored(settings, model, H, y, probs, show)
    except ValueError as error:
        raise ValueError(f"{model.name}: {error}") from None
    check_finite(model.name, settings.metrics, terms)  # or it would drop out of the total, a mean of the others
    return i, {
        "terms": terms,
        "resampled": resampled,
        "n_samples": np.array(shape[0]),
        "n_features": np.array(shape[1]),
        "seconds": np.array(float(extraction["seconds"]) + time.perf_counter() - started),
        "peak_mb": np.array(max(float(extraction["peak_mb"]), memory.peak_mb())),
        "cut": extraction["cut"],
        "altered": extraction["altered"],
        "unsteady": extraction["unsteady"],
        "early": np.array(early),
    }


def _scored(
    settings: Settings,
    model: Candidate | Features,
    H: np.ndarray | None,
    y: np.ndarray,
    probs: np.ndarray | None,
    show: bool,
) -> tuple[tuple[int, int], np.ndarray, np.ndarray, bool]:
    """``(n, d)``, the terms, (terms,), and those of resamples, (n_bootstrap, terms); whether one has not converged."""
    with warnings.catch_warnings(record=True) as messages:  # no more samples than features: said in the table
        warnings.simplefilter("always", UserWarning)
        samples = model.statistics if H is None else Samples(H, y)
        terms = _terms(settings.metrics, samples, None if H is None else y, probs)
    early = any("has not converged" in str(warning.message) for warning in messages)
    title, draws = f"{model.name}: resamples", () if H is None else _resamples(y, settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        resampled = [
            _of_resample(settings.metrics, samples.resampled(d), y[d], None if probs is None else probs[d], len(terms))
            for d in bars.through(draws, title, settings.n_bootstrap, passing=True, shown=show and H is not None)
        ]
    shape = samples.n_samples, samples.n_features
    return shape, terms, np.array(resampled).reshape(-1, len(terms)), early


def _features(settings: Settings, model: Candidate, target: Target, show: bool) -> Arrays:
    """Features of one model, from the cache if it has them, and what was seen on the way."""
    take = partial(_new_features, settings, model, target, show)
    if settings.folder is None or model.spec is None:
        return take()
    spec = _features_spec(model, target)
    return artifacts.cached(settings.folder / "features" / f"{artifacts.digest(spec)}.safetensors", spec, take)


def _new_features(settings: Settings, model: Candidate, target: Target, show: bool) -> Arrays:
    import torch

    started, place = time.perf_counter(), devices.choose(settings.device)
    if place.type == "cuda":
        torch.cuda.reset_peak_memory_stats(place)
    with bars.bar(model.name, len(target), unit=target.kind, passing=True, shown=show) as advance:
        loaded = model.load()
        with torch.autocast(place.type, enabled=False):  # what is kept must not depend on where `rank` is called
            H, probs = extract(loaded, target.data, place, settings.batch_size, advance)
            cut = getattr(loaded, "cut", 0)  # of all samples: the next line asks for two of them again
            steady = is_steady(loaded, target.data, place, H)
    peak = torch.cuda.max_memory_allocated(place) / 1e6 if place.type == "cuda" else memory.peak_mb()
    return {
        "features": H,
        **({} if probs is None else {"source_probs": probs}),
        "seconds": np.array(time.perf_counter() - started),
        "peak_mb": np.array(peak),
        "cut": np.array([cut, getattr(loaded, "length", 0)]),  # texts that were longer than so many tokens
        "altered": np.array(bool(getattr(loaded, "altered", False))),
        "unsteady": np.array(not steady),
    }


def _terms(
    names: Sequence[str], samples: Samples | ClassStatistics, y: np.ndarray | None, probs: np.ndarray | None
) -> np.ndarray:
    """The terms of all metrics in a row, statistics shared."""
    return np.concatenate([np.atleast_1d(score(name, samples, y, probs)) for name in names])


def _of_resample(
    names: Sequence[str], samples: Samples, y: np.ndarray, probs: np.ndarray | None, n_terms: int
) -> np.ndarray:
    """As `_terms`; NaN where a resample cannot be scored though the samples can."""
    try:
        return _terms(names, samples, y, probs)
    except ValueError:  # of a small class it may hold copies of one sample only
        return np.full(n_terms, np.nan)


def _resamples(y: np.ndarray, settings: Settings) -> Iterable[np.ndarray]:
    """Positions of resamples: within each class, with replacement; the same ones for every model."""
    members = [np.flatnonzero(y == k) for k in np.unique(y)]
    share = _share(len(y))
    for draw in range(settings.n_bootstrap):
        rng = np.random.default_rng((settings.seed, draw))
        yield np.concatenate([rng.choice(of_class, max(2, round(share * len(of_class)))) for of_class in members])


def _share(n_samples: int) -> float:
    return min(1.0, RESAMPLED / n_samples)


# The table ------------------------------------------------------------------------------------------------------------


def _table(
    made: list[Arrays], pool: list, metrics: tuple[str, ...], counts: np.ndarray, target: Target | None
) -> pd.DataFrame:
    names = [model.name for model in pool]
    columns = registry.columns(metrics)
    terms = pd.DataFrame([arrays["terms"] for arrays in made], index=names, columns=pd.MultiIndex.from_tuples(columns))
    scores, slopes, varies = _scores(terms)
    ordered = [metric for metric in metrics if slopes[metric].any()]
    opposed = [metric for metric in metrics if metric not in ordered and varies[metric].any()]
    if not ordered:
        why = (
            f"the terms of {' and of '.join(opposed)} cancel out; take more metrics or models"
            if opposed
            else "are they the same model?"
        )
        raise ValueError(f"every metric gives all models the same score, so there is no order: {why}")
    lowest, highest = scores[ordered].min(), scores[ordered].max()
    total = ((scores[ordered] - lowest) / (highest - lowest)).mean(axis=1)
    slopes = slopes / len(ordered)
    error, tied = _errors(made, total, slopes.to_numpy())
    agreement = ranking.mutual_agreement(scores[ordered])
    kind = target and target.kind
    own = {model.name: _own_cautions(model, arrays, metrics, kind) for model, arrays in zip(pool, made, strict=True)}
    table = scores.assign(
        total=total, low=total - LEVEL * error, high=total + LEVEL * error, agreement=_agreement(scores[ordered])
    )
    for column in ("n_samples", "n_features", "seconds", "peak_mb"):
        table[column] = [arrays[column].item() for arrays in made]
    table["caution"] = ["; ".join(caution.row for caution in found) for found in own.values()]
    table = table.sort_values("total", ascending=False, kind="stable").rename_axis("model").reset_index()
    table.insert(0, "rank", table["total"].rank(ascending=False, method="min").astype(int))
    constant = [" ".join(dict.fromkeys(column)) for column in columns if not varies[column]]
    cautions = _cautions(
        table["model"].tolist(), counts, agreement, tied, constant, opposed, error.index[error.isna()].tolist()
    )
    cautions += _of_kinds({model: own[model] for model in table["model"]})
    table.attrs = {
        "cautions": cautions + _cautions_of_data(pool[0].classes if target is None else target.data.classes, target),
        "meaning": MEANING,
        "evidence": EVIDENCE if metrics == DEFAULT else CHOSEN,
        "agreement": agreement,
        "terms": {
            name: {".".join(dict.fromkeys(c)): v for c, v in row.items()} for name, row in terms.T.to_dict().items()
        },
    }
    return table


def _scores(terms: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """Each metric's score, models x metrics; by how much its min-max over the pool rises with each of its terms; and
    whether that term varies over the pool.

    A term that is the same for all models has slope 0, and so has every term of a metric whose score is.
    """
    spread, varies = terms.max() - terms.min(), ranking.varies(terms)
    slopes = pd.Series(1.0, index=terms.columns).where(varies, 0.0)
    for metric, term in terms.columns[varies]:
        if registry.METRICS[metric].terms:
            slopes[metric, term] = registry.sign(term) / spread[metric, term]
    scores = pd.DataFrame(index=terms.index)
    for metric in terms.columns.unique(0):
        part = terms[metric]
        left_out = {term: 0 for term in part.columns if not slopes[metric, term]}
        if not registry.METRICS[metric].terms:
            scores[metric] = part.iloc[:, 0]
        elif len(left_out) < part.shape[1]:
            scores[metric] = ranking.total(part, left_out)
        else:
            scores[metric] = 0.0
        distance = scores[metric].max() - scores[metric].min()
        slopes[metric] = slopes[metric] / distance if ranking.varies(scores[metric]) else 0.0
    return scores, slopes, varies


def _errors(made: list[Arrays], total: pd.Series, slopes: np.ndarray) -> tuple[pd.Series, list[str]]:
    """Standard error of each total, and the models whose distance to the first is within the error of that distance."""
    if not all(len(arrays["resampled"]) for arrays in made):
        return pd.Series(np.nan, index=total.index), []
    resampled = np.stack([arrays["resampled"] @ slopes for arrays in made], axis=1)  # (n_bootstrap, models)
    shrink = np.sqrt(_share(int(made[0]["n_samples"])))
    error = pd.Series(shrink * resampled.std(axis=0, ddof=1), index=total.index)
    top = int(total.to_numpy().argmax())
    apart = LEVEL * shrink * (resampled[:, [top]] - resampled).std(axis=0, ddof=1)
    tied = total.index[(total.iloc[top] - total <= apart) & (total.index != total.index[top])]
    return error, tied.tolist()


def _agreement(scores: pd.DataFrame) -> pd.Series:
    """Per model: 1 if all metrics rank it alike, 0 if one puts it first and another last; NaN for a single metric."""
    if scores.shape[1] < 2:
        return pd.Series(np.nan, index=scores.index)
    ranks = scores.rank(ascending=False)
    return 1 - (ranks.max(axis=1) - ranks.min(axis=1)) / (len(scores) - 1)


class _Own(NamedTuple):
    """A caution about one model: in its row, and what the models of this kind have in common, and what to do."""

    row: str
    kind: str
    remedy: str = ""


def _own_cautions(
    model: Candidate | Features, arrays: Arrays, metrics: tuple[str, ...], kind: str | None
) -> list[_Own]:
    n, d = int(arrays["n_samples"]), int(arrays["n_features"])
    cut, length = arrays["cut"].tolist()
    found, doubtful = [], []  # cautions; what its features may not be, and what to do
    if d >= n:
        more = "rank on more samples, with a larger max_per_class if you gave one"
        found.append(_Own(f"d >= n: {d} features of {n} samples", "no more samples than features (d >= n)", more))
    if cut:
        row = f"{cut} of {n} texts were cut, as it reads {length} tokens at most"
        found.append(_Own(row, "texts were cut, and their ends are not read", "shorten them, or take other models"))
    if (of_source := _of_source(metrics)) and not getattr(model, "is_classifier", True):
        remedy = f"if they are an embedding, leave out {' and '.join(of_source)}"
        doubtful.append(("outputs were taken for source classes", remedy))
    if arrays["altered"]:
        remedy = "if they are, return those of a linear layer unaltered, or what goes into it"
        doubtful.append(("features are outputs of a last layer, and may be logits", remedy))
    if arrays["unsteady"]:
        remedy = "give a transform without random parts, and layers in evaluation mode, with statistics of their own"
        if kind == "texts":
            remedy = "rank again with cache=False to see how far its scores move, or take another model"
        doubtful.append(("features are not the same twice", remedy))
    found += [_Own(f"its {caution}: {remedy}", caution, remedy) for caution, remedy in doubtful]
    if arrays["early"]:
        caution = "LogME stopped before its maximum, since some features never vary or follow from others"
        found.append(_Own(caution, caution, "if you give features, leave these columns out"))
    if caution := getattr(model, "caution", ""):
        found.append(_Own(caution, caution))
    return found


def _of_kinds(own: dict[str, list[_Own]]) -> list[str]:
    """A sentence for each kind of caution: of which models, best first, and what to do."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for model, found in own.items():
        for caution in found:
            kinds.setdefault((caution.kind, caution.remedy), []).append(model)
    sentences = []
    for (kind, remedy), models in kinds.items():
        more = f" and {len(models) - NAMED} more" if len(models) > NAMED else ""
        sentences.append(f"{kind}: {', '.join(models[:NAMED])}{more}{remedy and '; ' + remedy}")
    return sentences


def _cautions(
    models: list[str],
    counts: np.ndarray,
    agreement: float,
    tied: list[str],
    constant: list[str],
    opposed: list[str],
    without_error: list[str],
) -> list[str]:
    """Why the evidence may be thin, in sentences; ``models`` best first."""
    sentences = []
    if len(models) < FEW_MODELS:
        sentences.append(
            f"there are {len(models)} models only: totals are relative to the pool, and one model more or less can "
            "move them all"
        )
    if counts.min() < FEW_SAMPLES:
        sentences.append(
            f"the smallest class has {counts.min()} samples (under {FEW_SAMPLES}): scores of so few wobble"
        )
    if tied:
        sentences.append(
            f"{models[0]} leads, but within the interval it is tied with {', '.join(m for m in models if m in tied)}"
        )
    if len(without_error) == len(models):
        sentences.append("there are no intervals, so it is not known which distances between totals mean anything")
    elif without_error:
        sentences.append(f"there is no interval for {', '.join(without_error)}: some of its resamples cannot be scored")
    if agreement < LOW_AGREEMENT:
        sentences.append(
            f"the metrics disagree (mean weighted Kendall between them {agreement:.2f}): look at their own columns"
        )
    if constant:
        sentences.append(f"the same for all models, and so left out of the totals: {', '.join(constant)}")
    for metric in opposed:
        sentences.append(
            f"the terms of {metric} cancel out: its total is the same for all models, and so left out of the ranking"
        )
    return sentences


def _cautions_of_data(classes: Sequence[str], target: Target | None) -> list[str]:
    """What a reader should look at in the data."""
    sentences = [
        f"classes {', '.join(map(repr, names))} are called almost the same: are they one?"
        for names in lookalikes(classes)
    ]
    if missing := missing_lookalikes(classes):
        sentences.append(f"class {missing[0]!r} looks like a missing label: is it a class?")
    if hidden := [name for name in classes if folders.is_hidden(name)]:
        sentences.append(f"class {hidden[0]!r} looks like a hidden system folder: is it a class?")
    if target and target.skipped:
        sentences.append(
            f"{len(target.skipped)} images could not be read and were left out, the first {target.skipped[0]}"
        )
    if target and 0 < target.largest < DARK:
        sentences.append(
            f"no number in the images of 16 bits is above {target.largest}, where 65535 is white, so models see dark "
            "images: if their white is lower, as 4095 of 12 bits, scale them up or save them with 8 bits per colour"
        )
    if target and target.shared:
        sentences.append(
            f"{len(target.shared)} {target.kind} lie in more than one class, the first is {target.shared[0]}: if a "
            "class was copied, remove the copy; else keep each in one class"
        )
    if beside := getattr(target and target.data, "beside", ()):
        sentences.append(
            f"what lies beside the classes and may be one was left out: {', '.join(beside[:NAMED])}; unpack an archive "
            "that holds a class, and give a hidden folder that is one a name without a dot"
        )
    if ignored := getattr(target and target.data, "ignored", ()):
        sentences.append(
            f"{len(ignored)} files among the images were not looked at, as they lie in no class or have no image's "
            f"suffix, the first {ignored[0]}"
        )
    return sentences


def _say(table: pd.DataFrame) -> None:
    for line in table.attrs["cautions"]:
        print(f"caution: {line}", file=bars.out())
    print(MEANING, file=bars.out())


def by_metric(table: pd.DataFrame) -> pd.DataFrame:
    """Where each metric alone puts each model: (model, metric, share), 0 for its last and 1 for its first choice."""
    scores = table.set_index("model")[[metric for metric in registry.METRICS if metric in table]]
    scores = scores.loc[:, scores.nunique() > 1]
    share = (scores - scores.min()) / (scores.max() - scores.min())
    return share.rename_axis(columns="metric").stack().rename("share").reset_index()
