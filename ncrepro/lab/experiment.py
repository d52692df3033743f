"""A profile's pool x targets -> accuracies, scores, correlations: the verbs that the notebooks use.

Every long step is a list of `jobs`. Each verb returns its tidy table and writes it below ``data/results``.
"""

import importlib
from collections.abc import Callable, Sequence
from functools import cached_property, partial, wraps
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from .. import ranking
from ..metrics import registry
from ..ranking import resampling
from ..ranking.resampling import Noise
from ..store import artifacts, cold_notebooks, file_digests, fingerprint, jobs, paths
from ..store.artifacts import Arrays
from ..store.cluster import Work
from ..store.jobs import Job
from ..store.schema import refuse_unknown, unknown
from ..store.trace import is_there
from . import committed_sample, job_estimates, profiles, recipes, scoring_job
from .profiles import Model

CORRELATIONS = (ranking.weighted_kendall, ranking.pearson, ranking.spearman)


def writes_tables(*tables: str) -> Callable:
    """A verb that writes these tables and returns them; where the profile is cold it only reads the committed ones."""

    def decorate(verb: Callable) -> Callable:
        @wraps(verb)
        def ask(study: "Experiment", *args, **kwargs):
            if not study.is_cold:
                with file_digests.one_look():
                    return verb(study, *args, **kwargs)
            found = tuple(map(study.read, tables))
            return found if len(found) > 1 else found[0]

        return ask

    return decorate


class Experiment:
    """One pool of one profile.

    Parameters
    ----------
    pool : str
        A pool of the profile: ``supervised``, ...
    profile : str, optional
        ``smoke``, ``demo``, ...; None reads ``NCREPRO_PROFILE``, else takes ``demo``.
    """

    def __init__(self, pool: str, profile: str | None = None):
        self.profile = profiles.load(profile)
        self.pool = self.profile.pool(pool)
        self.task = importlib.import_module(f"ncrepro.lab.tasks.{self.pool.task}")
        fingerprint.of(self.task.__name__)  # messages and refusals here depend on what the task says of itself
        for kind, given, known in (
            ("architecture", self.pool.architectures, self.task.ARCHITECTURES),
            ("loss", self.pool.losses, self.task.LOSSES),
            ("data set", (*self.pool.sources, *self.pool.targets), self.task.DATASETS),
        ):
            for name in given:
                refuse_unknown(kind, name, known)
        if hasattr(self.task, "check"):
            self.task.check(self.pool)
        for model in self.pool.models:
            self._parts(model)  # refuses a pair with an encoder that no pool has pre-trained
        # Data sets and checkpoints that cannot be downloaded, and that nobody put there: what they are, and what to do.
        needed = (*self.pool.sources, *self.pool.targets, *self.pool.losses)
        self.left_out = self.task.unobtainable(needed) if hasattr(self.task, "unobtainable") else {}
        self.pool = self.pool.without(self.left_out)
        self.results = paths.results(self.profile.name, self.pool.name)

    @property
    def is_cold(self) -> bool:
        """Are the committed tables shown, because this profile has not run here? See `ncrepro.store.cold_notebooks`."""
        return cold_notebooks.is_cold(self.profile.name)

    @property
    def is_untrained(self) -> bool:
        """Do the models start from random weights? Then there is nothing to score."""
        return self.pool.sources == (getattr(self.task, "NOTHING", None),)

    @property
    def folder(self) -> str:
        """Where this pool's tables are, in words."""
        return cold_notebooks.folder(self.results)

    def data(self) -> pd.DataFrame:
        """How large the data sets are: (data_set, role, classes, train, test), samples of each split.

        What is drawn is drawn here, once: the processes that train find it in memory.
        """
        rows = []
        roles = [("source", name) for name in self.pool.sources] + [("target", name) for name in self.pool.targets]
        for role, name in roles:
            if self.task.reader(name) is None:  # weights that others trained, or none
                continue
            train, test = (self.task.load(name, split, self.pool.max_per_class) for split in ("train", "test"))
            rows.append(
                {"data_set": name, "role": role, "classes": train.n_classes, "train": len(train), "test": len(test)}
            )
        return pd.DataFrame(rows)

    # Ground truth -----------------------------------------------------------------------------------------------------

    @writes_tables("pretraining")
    def pretrain(self) -> pd.DataFrame:
        """Pre-train every model on its source.

        Returns
        -------
        DataFrame (model, architecture, source, n_parameters, n_features, source_accuracy), then what else the task
        measures
        """
        for name, remedy in self.left_out.items():
            print(f"{name} is left out, because it cannot be downloaded; to have it, {remedy}")
        encoders = {job.path: job for model in self.pool.models for job in self._encoders(model)}
        if encoders:
            self._run("pre-train the encoders", list(encoders.values()))
        keys, made = self._make("pretrain", "pre-train", [(m,) for m in self.pool.models], self._pretraining)
        rows = [
            {
                **key,
                "architecture": model.architecture,
                "source": model.source,
                "n_parameters": int(arrays["n_parameters"]),
                "n_features": int(arrays["n_features"]),
                "source_accuracy": float(arrays["accuracy"]),
                **{key: value for key, value in _measured(arrays).items() if key not in _ALWAYS and "." not in key},
            }
            for model, key, arrays in zip(self.pool.models, keys, made, strict=True)
        ]
        return self.write("pretraining", rows)

    @writes_tables("accuracies")
    def finetune(self) -> pd.DataFrame:
        """Fine-tune every model on every target: (model, target, seed, accuracy in per cent, what else is measured)."""
        runs = [
            (model, target, seed)
            for model, target in product(self.pool.models, self.pool.targets)
            for seed in self.pool.seeds_of(target)
        ]
        keys, made = self._make("finetune", "fine-tune", runs, self._finetuning)
        return self.write("accuracies", [{**key, **_measured(arrays)} for key, arrays in zip(keys, made, strict=True)])

    # Scores -----------------------------------------------------------------------------------------------------------

    @writes_tables("features")
    def extract(self) -> pd.DataFrame:
        """Features of every target's train split by every pre-trained model: (model, target, n_samples, n_features)."""
        runs = list(product(self.pool.models, self.pool.targets))
        keys, made = self._make("extract", "extract", runs, self._extraction, keep=_outline)
        return self.write("features", [{**key, **arrays["outline"]} for key, arrays in zip(keys, made, strict=True)])

    @writes_tables("scores")
    def score(self) -> pd.DataFrame:
        """Every metric on every feature set: (model, target, metric, term or ``total``, score)."""
        runs = list(product(self.pool.models, self.pool.targets))
        made = self._run("score", [self._scoring(*run) for run in runs])
        rows = [
            {"model": model.name, "target": target, "metric": metric, "term": term, "score": value}
            for (model, target), arrays in zip(runs, made, strict=True)
            for name, value in _measured(arrays).items()
            for metric, term in [registry.split(name)]
        ]
        terms = pd.DataFrame(rows)
        parts, whole = terms[terms["term"] != registry.TOTAL], ranking.totals(terms).assign(term=registry.TOTAL)
        return self.write("scores", pd.concat([parts, whole])[list(terms)])

    @writes_tables("correlations")
    def correlate(self) -> pd.DataFrame:
        """How well each metric ranks, and how surely: `correlations` of the pool.

        A subset of the pool, a paper's own list, is ranked by itself, min-max included: ``correlations_<subset>``.
        """
        for subset in self.pool.subsets:
            self.write(f"correlations_{subset}", self._correlations(subset))
        return self.write("correlations", self._correlations())

    def _correlations(self, subset: str | None = None) -> pd.DataFrame:
        """`correlations` of all metrics; those beside the others apart, since repetitions may not have them."""
        scores, accuracies = self.ranked(subset, beside=True)
        apart = scores["metric"].isin(registry.beside())
        parts = (scores[~apart], scores[apart])
        return pd.concat([correlations(s, accuracies, self.noise(subset)) for s in parts if len(s)])

    def ranked(self, subset: str | None = None, beside: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The scores that rank (model, target, metric, score), and the accuracies that judge them (models x targets).

        Only targets for which every model has an accuracy; if there is none, the models that have one for every target.
        The scores are those of the `competitors`, or of all metrics with ``beside``.
        """
        accuracies, pretraining, scores = self._accuracies(subset), self.read("pretraining"), self.read("scores")
        judged = scores["model"].isin(accuracies.index) & scores["target"].isin(accuracies.columns)
        whole = ranking.totals(scores[judged])
        whole = whole if beside else competitors(whole)
        return pd.concat([whole, baselines(pretraining, accuracies)]), accuracies

    def noise(self, subset: str | None = None, truth: str | None = None) -> Noise:
        """How different the accuracies that `ranked` gives could have been, with other test images and another
        training.

        Parameters
        ----------
        subset : str, optional
        truth : str, optional
            Another column of ``accuracies.csv`` than the subset's own.
        """
        truth = truth or self._part(subset).truth
        table = self.read("accuracies")
        again = repetitions(self.profile.name, self.pool.name)
        if truth != "accuracy":  # both are known of the accuracies alone
            table = table.drop(columns="standard_error", errors="ignore").assign(accuracy=table[truth])
            again = again.iloc[:0]
        return noise_of(table, again).like(self._accuracies(subset))

    def covered(self) -> str:
        """What the intervals of this pool include, in words: `resampling.covers`."""
        return resampling.covers(self.noise())

    def draws(self, subset: str | None = None, statistic: str = "weighted_kendall") -> pd.DataFrame:
        """What every ranking of the pool could have been worth on average: `resampling.draws`, n x metrics."""
        return resampling.mean_over_targets(resampling.draws(*self.ranked(subset), self.noise(subset), statistic))

    def _part(self, subset: str | None) -> profiles.Subset:
        return self.pool.subsets[subset] if subset else profiles.Subset(())

    def _accuracies(self, subset: str | None) -> pd.DataFrame:
        part, table = self._part(subset), self.read("accuracies")
        if part.truth not in table:
            truths = table.columns[3:].drop("standard_error", errors="ignore")
            raise ValueError(f"subset {subset}: " + unknown("truth", part.truth, truths))
        accuracies = table.groupby(["model", "target"])[part.truth].mean().unstack("target")
        if subset is not None:
            accuracies = accuracies.loc[self.pool.subset(subset)]
        known = accuracies[list(part.targets or self.pool.targets)].dropna(axis=1, how="all")
        return known.dropna(axis=1) if known.notna().all().any() else known.dropna(axis=0)

    def features_of(self, model: str, target: str) -> Arrays:
        """``features``, ``labels`` and ``source_probs`` of a model on a target's train split; cold, the sample's."""
        entry = self._model(model)
        refuse_unknown("target", target, self.pool.targets)
        if self.is_cold:
            return committed_sample.load(self.profile.name, self.pool.name, model, target)
        job = self._extraction(entry, target)
        return jobs.require(job.path, job.spec, f"features of {model} on {target}")

    def checkpoint(self, model: str) -> Path:
        """The file that holds a pre-trained model's weights."""
        job = self._pretraining(self._model(model))
        jobs.require(job.path, job.spec, f"weights of {model}")
        return job.path

    @file_digests.one_look()
    def measure(
        self, step: scoring_job.Step, settings: list[dict], targets: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """What ``step`` finds in every model's features of the targets, under every setting; found once, then cached.

        Parameters
        ----------
        step : function (arrays of `features_of`, settings) -> list of dict term -> float, one per setting
            A function of a module; the cached result depends on all code that it reaches.
        settings : list of dict, all with the same keys
        targets : sequence of str, optional
            None takes all of the pool's.

        Returns
        -------
        DataFrame (model, target, *settings, term, score)
        """
        runs = product(self.pool.models, targets or self.pool.targets)
        return self._measure(
            step, settings, [(model.name, target, self._extraction(model, target)) for model, target in runs]
        )

    @file_digests.one_look()
    def measure_source(self, step: scoring_job.Step, settings: list[dict], per_class: int) -> pd.DataFrame:
        """As `measure`, on features of ``per_class`` training images of every class of each model's own source.

        The features are extracted when first asked for; the column ``target`` names the source.
        """
        sources = self._sources(per_class)
        return self._measure(step, settings, [(m.name, m.source, sources[m.name]) for m in self.pool.models])

    @file_digests.one_look()
    def measure_both(self, step: scoring_job.Step, settings: list[dict], per_class: int) -> pd.DataFrame:
        """As `measure`, with ``source_features`` and ``source_labels`` among the arrays: those of `measure_source`."""
        runs, sources = product(self.pool.models, self.pool.targets), self._sources(per_class)
        return self._measure(step, settings, [(m.name, t, self._extraction(m, t), sources[m.name]) for m, t in runs])

    def _sources(self, per_class: int) -> dict[str, Job]:
        """The features of every model's source, extracted where they are missing."""
        most = min(per_class, self.pool.max_per_class or per_class)
        found = {model.name: self._extraction(model, model.source, most) for model in self.pool.models}
        self._run("extract the source", list(found.values()))
        return found

    @writes_tables("embedding")
    def embed(self, target: str, per_class: int = 40) -> pd.DataFrame:
        """t-SNE of one target's features by four models of NCTI's pool, from most to least accurate (NCTI Fig. 2).

        Returns
        -------
        DataFrame (model, label, x, y, caption)
            ``caption``: the model's name, its accuracy and its NCTI terms.
        """
        from sklearn.manifold import TSNE  # takes a second to import, and only this verb needs it

        accuracies = self.read("accuracies").query("target == @target").groupby("model")["accuracy"].mean()
        ordered = accuracies[self.pool.subset("ncti")].sort_values(ascending=False)
        chosen = ordered.iloc[np.linspace(0, len(ordered) - 1, min(4, len(ordered))).round().astype(int)]
        terms = self.read("scores").query("metric == 'ncti' and target == @target")
        scores = terms.set_index(["model", "term"])["score"]
        tables = []
        for model, accuracy in chosen.items():
            arrays = self.features_of(model, target)
            kept = pd.Series(arrays["labels"]).groupby(arrays["labels"]).head(per_class).index
            H, y = arrays["features"][kept], arrays["labels"][kept]
            xy = TSNE(perplexity=min(30, len(H) / 4), init="pca", random_state=0).fit_transform(H)
            seli, ncc, log_vc = (scores[model, term] for term in registry.term_names("ncti"))
            caption = f"{model}: {accuracy:.1f} %\nseli {seli:.0f}, ncc {ncc:.2f}, log vc {log_vc:.2f}"
            tables.append(pd.DataFrame({"model": model, "label": y, "x": xy[:, 0], "y": xy[:, 1], "caption": caption}))
        return self.write("embedding", pd.concat(tables))

    def read(self, table: str) -> pd.DataFrame:
        """A table that this pool's notebooks have written."""
        return artifacts.read_table(self.results / f"{table}.csv", self.profile.name)

    def averages(self, subset: str | None = None) -> pd.DataFrame:
        """The rows of `correlate`'s table that are means over the targets, by metric."""
        table = self.read(f"correlations_{subset}" if subset else "correlations")
        return table[table["target"] == "average"].set_index("metric")

    def write(self, table: str, rows: list[dict] | pd.DataFrame) -> pd.DataFrame:
        """Write a table of this pool, for `read`, and return it."""
        return artifacts.write_table(self.results / f"{table}.csv", pd.DataFrame(rows).reset_index(drop=True))

    # Jobs -------------------------------------------------------------------------------------------------------------

    def jobs(self) -> dict[str, list[tuple[Model, str, Job]]]:
        """Every artefact of this pool, made or not, by step: (model, the data set it is made with, job)."""
        models, runs = self.pool.models, list(product(self.pool.models, self.pool.targets))
        return {
            "pretrain": [(m, m.source, self._pretraining(m)) for m in models],
            "finetune": [(m, t, self._finetuning(m, t, seed)) for m, t in runs for seed in self.pool.seeds_of(t)],
            "extract": [(m, t, self._extraction(m, t)) for m, t in runs],
            "score": [(m, t, self._scoring(m, t)) for m, t in runs],
        }

    def _model(self, name: str) -> Model:
        by_name = {model.name: model for model in self.pool.models}
        refuse_unknown("model", name, by_name)
        return by_name[name]

    @cached_property
    def _pools_of_encoders(self) -> tuple["Experiment", ...]:
        """The pools of this profile that pre-train the parts of a pair; none where a model is one network."""
        if recipes.tasks()[self.pool.task].pretrain is not recipes.Encoders:
            return ()
        for part in self.task.PARTS:
            name = self.pool.pretrain[part]
            if self.profile.pool(name).task == self.pool.task:
                raise ValueError(
                    f"pools.{self.pool.name}.pretrain.{part} is {name!r}, a pool of pairs; name one of single encoders"
                )
        return tuple(Experiment(self.pool.pretrain[part], self.profile.name) for part in self.task.PARTS)

    def _parts(self, model: Model) -> list[tuple["Experiment", Model]]:
        """The encoders of a pair, each with its pool."""
        pools = self._pools_of_encoders
        names = zip(*(name.split(recipes.PAIR) for name in (model.architecture, model.source)), strict=True)
        parts = []
        for study, (architecture, source) in zip(pools, names, strict=True) if pools else ():
            known = {f"{m.architecture} on {m.source}": m for m in study.pool.models if m.loss == model.loss}
            if (model_name := f"{architecture} on {source}") not in known:
                raise ValueError(f"pool {self.pool.name}: {study.pool.name}: " + unknown("model", model_name, known))
            parts.append((study, known[model_name]))
        return parts

    def _encoders(self, model: Model) -> list[Job]:
        """The pre-trainings, in other pools, that a pair is made of."""
        return [study._pretraining(part) for study, part in self._parts(model)]

    def _pretraining(self, model: Model) -> Job:
        origins = self._encoders(model)
        spec = {
            "architecture": model.architecture,
            "source": model.source,
            "loss": model.loss,
            "max_per_class": self.pool.max_per_class,
            "recipe": self.pool.pretrain,
            "seed": 1000 * self.profile.repetition,
            **({"encoders": [artifacts.digest(origin.spec) for origin in origins]} if origins else {}),
        }
        label = "-".join((model.architecture, model.source, model.loss))
        return self._step("pretrain", "pretrained", label, model, model.source, spec, *origins)

    def _finetuning(self, model: Model, target: str, seed: int) -> Job:
        origin = self._pretraining(model)
        spec = {
            "pretrained": artifacts.digest(origin.spec),
            "target": target,
            "max_per_class": self.pool.max_per_class,
            "recipe": self.pool.finetune_on(target),
            "seed": seed + 1000 * self.profile.repetition,
        }
        return self._step("finetune", "finetuned", f"{model.name}-{target}-{seed}", model, target, spec, origin)

    def _extraction(self, model: Model, target: str, max_per_class: int | None = None) -> Job:
        origin = self._pretraining(model)
        spec = {
            "pretrained": artifacts.digest(origin.spec),
            "target": target,
            "split": "train",
            "max_per_class": max_per_class or self.pool.max_per_class,
            **({"recipe": self.pool.extract} if self.pool.extract else {}),
        }
        return self._step("extract", "features", f"{model.name}-{target}", model, target, spec, origin)

    def _step(self, step: str, kind: str, label: str, model: Model, data: str, spec: dict, *origins: Job) -> Job:
        """One of the task's steps on what other jobs leave; what it rests on enters its spec."""
        spec = spec | self._rests_on(step, data)
        compute = partial(jobs.from_pretrained, getattr(self.task, step), spec, *(job[1:3] for job in origins))
        return self._job(kind, label, spec, compute, partial(self._asks, step, model, data, spec, *origins))

    def _scoring(self, model: Model, target: str) -> Job:
        origin = self._extraction(model, target)
        spec = {"features": artifacts.digest(origin.spec), "code": fingerprint.of(fingerprint.root(scoring_job.score))}
        step = partial(scoring_job.score, origin.path, origin.spec)
        asks = partial(self._asks, "score", model, target, {}, origin)
        return self._job("scores", f"{model.name}-{target}", spec, step, asks)

    def _measure(self, step: scoring_job.Step, settings: list[dict], origins: list[tuple]) -> pd.DataFrame:
        """``origins``: (model, data set, features, and what features of its source go with them, if any)."""
        steps = []
        for model, data, origin, *source in origins:
            spec = {
                "features": artifacts.digest(origin.spec),
                "step": step.__name__,
                "settings": settings,
                "code": fingerprint.of(fingerprint.root(step), fingerprint.root(scoring_job.take_step)),
                **({"source": artifacts.digest(source[0].spec)} if source else {}),
            }
            made_of = (origin, *source)
            compute = partial(scoring_job.take_step, step, settings, *(part for job in made_of for part in job[1:3]))
            asks = partial(self._asks, "score", self._model(model), data, {}, *made_of)
            steps.append(self._job("analyses", f"{step.__name__}-{model}-{data}", spec, compute, asks))
        made = self._run(step.__name__.replace("_", " "), steps)
        rows = [
            {"model": model, "target": data, **setting, "term": term, "score": float(arrays[term][i])}
            for (model, data, *_), arrays in zip(origins, made, strict=True)
            for i, setting in enumerate(settings)
            for term in arrays if arrays[term].ndim
        ]  # fmt: skip
        return pd.DataFrame(rows)

    def _rests_on(self, step: str, data: str) -> dict:
        """The code of one of the task's steps, and what the data set that it works on rests on."""
        from . import datasets  # loads torch, which those who only read tables need not wait for

        code = fingerprint.of(f"{self.task.__name__}:{step}", stops=(*fingerprint.KEEPING, datasets.__name__))
        return {"code": code, "data": datasets.provenance(self.task.reader(data), data)}

    def _asks(self, step: str, model: Model, data: str, spec: dict, *made_of: Job) -> Work:
        """What a job needs of the machine that does it."""
        _, hours, _ = job_estimates.of(self.pool, step, model, data)
        return Work(
            reads=tuple(job.path for job in made_of),
            data=data if "data" in spec else "",
            lacks=partial(missing_requirements, self.pool.task, data, spec["data"]) if spec.get("data") else None,
            hours=hours,
            gigabytes=job_estimates.memory(self.pool, step, model, data),
            gpu=step != "score",
        )

    def _job(
        self, kind: str, label: str, spec: dict, compute: Callable[[], Arrays], asks: Callable[[], Work] = Work
    ) -> Job:
        name = f"{label}-{artifacts.digest(spec)}.safetensors"
        return Job(label, paths.cache(self.profile.name) / kind / name, spec, compute, asks)

    def _run(self, title: str, made_by: list[Job], **kept) -> list[Arrays]:
        if self.is_cold:
            raise cold_notebooks.missing(f"{self.pool.name}: {title}: this is no committed table", self.profile.name)
        return jobs.run(f"{self.pool.name}: {title}", made_by, self.profile.workers, **kept)

    def _make(
        self, step: str, title: str, runs: list[tuple], job_of: Callable[..., Job], **kept
    ) -> tuple[list[dict], list[Arrays]]:
        """What tells the runs of a step apart, and what they gave; CPU seconds and peak memory go into a table."""
        made = self._run(title, [job_of(*run) for run in runs], **kept)
        keys = [{"model": model.name, **dict(zip(("target", "seed"), of, strict=False))} for model, *of in runs]
        spent = [{name: float(arrays[name]) for name in ("seconds", "peak_mb")} for arrays in made]
        self.write(f"seconds_{step}", [key | of for key, of in zip(keys, spent, strict=True)])
        return keys, made


def missing_requirements(task: str, data: str, expected: dict) -> str:
    """What this machine lacks to read a data set as the machine that asks does; empty if nothing."""
    from . import datasets

    try:
        reader = importlib.import_module(f"ncrepro.lab.tasks.{task}").reader(data)
        found = datasets.provenance(reader, data)
    except (OSError, ValueError) as error:
        return f"{data}: {str(error).splitlines()[0]}"
    return "" if found == expected else f"{data}: its files are different here"


def _outline(arrays: Arrays) -> dict:
    """What a table says of a feature set: its sizes, where it comes from, and what making it took; not the features."""
    sizes = dict(zip(("n_samples", "n_features"), arrays["features"].shape, strict=True))
    spent = {key: arrays[key] for key in ("seconds", "peak_mb")}
    return {"outline": sizes | arrays.get("provenance", {}), **spent}


# From terms to rankings -----------------------------------------------------------------------------------------------


def competitors(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table whose ``metric`` does not stand beside the others, see `registry.Metric.beside`."""
    return table[~table["metric"].isin(registry.beside())]


_ALWAYS = ("n_parameters", "n_features", "n_classes", "accuracy")  # what every pre-training gives


def _measured(arrays: Arrays) -> dict[str, float]:
    """An artefact's single numbers, without those of its own making and what its record says."""
    numbers = {key: a for key, a in arrays.items() if isinstance(a, np.ndarray) and a.ndim == 0}
    return {key: float(a) for key, a in numbers.items() if key not in ("seconds", "peak_mb")}


def baselines(pretraining: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """The rankings in `registry.BLIND`: (model, target, metric, score)."""
    by_model = pretraining.set_index("model").loc[accuracies.index]
    tables = {"static_baseline": ranking.static_baseline(accuracies)} if accuracies.shape[1] > 1 else {}
    for name in filter(by_model.columns.__contains__, registry.BLIND):
        tables[name] = pd.DataFrame(dict.fromkeys(accuracies.columns, by_model[name]))
    return pd.concat([long_form(table, name) for name, table in tables.items()], ignore_index=True)


def long_form(wide: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores, models x targets, as rows (model, target, metric, score)."""
    table = wide.rename_axis(index="model", columns="target").stack().rename("score").reset_index()
    return table.assign(metric=metric)[["model", "target", "metric", "score"]]


def with_accuracies(scores: pd.DataFrame, accuracies: pd.DataFrame) -> pd.DataFrame:
    """``scores`` (model, target, ...) with a column ``accuracy`` taken from ``accuracies`` (models x targets)."""
    long = accuracies.stack().rename("accuracy").rename_axis(["model", "target"])
    return scores.join(long, on=["model", "target"], how="inner")


def seed_noise(accuracies: pd.DataFrame) -> pd.DataFrame:
    """How far two fine-tunings of the same models agree, on the targets that have more than one seed.

    Returns
    -------
    DataFrame (target, seeds, difference, weighted_kendall)
        ``difference``: mean absolute difference between two seeds, in points; ``weighted_kendall``: agreement of the
        rankings by seed 0 and seed 1, a ceiling for every score. No rows if no target has a second seed.
    """
    rows = []
    for target, group in accuracies.groupby("target", sort=False):
        table = group.pivot(index="model", columns="seed", values="accuracy")
        if table.shape[1] > 1 and table[0].nunique() > 1 and table[1].nunique() > 1:
            rows.append({
                "target": target,
                "seeds": table.shape[1],
                "difference": (table[0] - table[1]).abs().mean(),
                "weighted_kendall": ranking.weighted_kendall(table[0], table[1]),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=["target", "seeds", "difference", "weighted_kendall"])


def noise_of(accuracies: pd.DataFrame, again: pd.DataFrame) -> Noise:
    """What is known of the noise in a pool's accuracies.

    Parameters
    ----------
    accuracies : DataFrame (model, target, seed, accuracy[, standard_error])
        The standard deviation over fine-tunings is that of the same model on the same target, pooled over the models; a
        target with one seed takes the mean of the others.
    again : DataFrame (repetition, model, target, accuracy, *rankings)
        As `repetitions` gives it.
    """
    by_run = accuracies.groupby(["model", "target"])
    images = by_run["standard_error"].mean().unstack("target") if "standard_error" in accuracies else None
    variance, n_seeds = by_run["accuracy"].var().unstack("target").mean(), by_run.size().unstack("target")
    seeds = np.sqrt(variance.fillna(variance.mean()) / n_seeds) if variance.notna().any() else None
    wide = again.pivot(index=["repetition", "model"], columns="target", values=again.columns[3:])
    runs = tuple(
        {name: run.droplevel("repetition")[name] for name in again.columns[3:]} for _, run in wide.groupby("repetition")
    )
    return Noise(images, seeds, runs)


def repetitions(profile: str, pool: str) -> pd.DataFrame:
    """A pool's measured repetitions but for the profile itself: (repetition, model, target, accuracy, *rankings).

    They lie, if there are any, in ``data/reference/noise``; 0 is the profile, ``demo+2`` the second with other seeds.
    """
    base, own = profiles.repetition_of(profile)
    path = paths.reference(f"noise/{base}", f"{pool}.csv")
    if not is_there(path):
        return pd.DataFrame(columns=["repetition", "model", "target", "accuracy"])
    return artifacts.read_table(path, base).query("repetition != @n", local_dict={"n": own})


def correlations(scores: pd.DataFrame, accuracies: pd.DataFrame, noise: Noise = resampling.NONE) -> pd.DataFrame:
    """How well every metric in ``scores`` ranks the models for each target, and on average over the targets.

    Parameters
    ----------
    scores : DataFrame (model, target, metric, score)
    accuracies : DataFrame, models x targets, per cent
    noise : Noise
        What is drawn for the intervals besides the models.

    Returns
    -------
    DataFrame (target, metric, weighted_kendall, pearson, spearman, low, high, low_models, high_models)
        ``low`` and ``high``: 95 % of `resampling.draws` of the weighted Kendall; in the rows whose target is
        ``average``, of its mean over targets. ``low_models`` and ``high_models``: the same if nothing but the models is
        drawn. NaN: a metric that gives all models the same score has no correlation, fewer than `resampling.FEW` models
        have no interval.
    """
    draws = {
        "": resampling.draws(scores, accuracies, noise),
        "_models": resampling.draws(scores, accuracies, components=("models",)),
    }
    bounds = {}
    for part, values in draws.items():
        means = pd.concat({"average": resampling.mean_over_targets(values)}, axis=1).swaplevel(axis=1)
        bounds["low" + part], bounds["high" + part] = resampling.interval(pd.concat([values, means], axis=1))
    of_targets = ranking.agreement(scores, accuracies, statistics=CORRELATIONS)
    average = of_targets.groupby("metric", sort=False).mean(numeric_only=True).reset_index().assign(target="average")
    rows = pd.MultiIndex.from_product(
        [[*accuracies.columns, "average"], scores["metric"].unique()], names=["target", "metric"]
    )
    table = pd.concat([of_targets, average]).set_index(["target", "metric"]).reindex(rows)
    return table.assign(**{name: series.swaplevel().reindex(rows) for name, series in bounds.items()}).reset_index()
