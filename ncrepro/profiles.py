"""What a profile runs: ``notebooks/profiles/<name>.yaml``, read and checked before any work starts."""

import difflib
import os
from dataclasses import dataclass, field, fields, replace
from itertools import product

import yaml

from . import paths


@dataclass(frozen=True)
class Model:
    """One entry of a pool: an architecture, the data set it was pre-trained on, and the loss that trained it."""

    name: str
    architecture: str
    source: str
    loss: str


@dataclass(frozen=True)
class Subset:
    """A part of a pool that is ranked on its own, as a paper did."""

    models: tuple[str, ...]  # architectures
    targets: tuple[str, ...] = ()  # none: all of the pool's
    truth: str = "accuracy"  # the column of accuracies.csv that it is judged by


@dataclass(frozen=True)
class Pool:
    """The models that are ranked together, the targets they are ranked for, and how both are trained."""

    name: str
    architectures: tuple[str, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    pretrain: dict  # the fields of training.Recipe
    finetune: dict
    task: str = "classification"  # the module of ncrepro.tasks that trains and extracts
    losses: tuple[str, ...] = ("cross_entropy",)  # of the pre-training
    seeds: int = 1  # fine-tunings of each model on each target
    more_seeds: dict[str, int] = field(default_factory=dict)  # target -> seeds, where the budget allows more
    subsets: dict[str, Subset] = field(default_factory=dict)  # a paper's own pool; in the file, its architectures are enough
    max_per_class: int | None = None  # images per class of every data set; None takes all
    extract: dict = field(default_factory=dict)  # how features are taken, where the task leaves a choice
    finetune_of: dict[str, dict] = field(default_factory=dict)  # target -> its own recipe, where that is not ``finetune``

    @property
    def models(self) -> tuple[Model, ...]:
        parts = (self.architectures, self.sources, self.losses)
        return tuple(
            Model("@".join(v for v, values in zip(choice, parts, strict=True) if len(values) > 1) or choice[0], *choice)
            for choice in product(*parts)
        )

    def subset(self, name: str) -> list[str]:
        """Names of the models whose architecture belongs to the subset ``name``."""
        return [model.name for model in self.models if model.architecture in self.subsets[name].models]

    def without(self, names) -> "Pool":
        """The same pool for fewer sources, targets and losses."""
        parts = (self.sources, self.targets, self.losses)
        sources, targets, losses = (tuple(part for part in kept if part not in names) for kept in parts)
        subsets = {name: replace(s, targets=tuple(t for t in s.targets if t in targets)) for name, s in self.subsets.items()}
        return replace(self, sources=sources, targets=targets, losses=losses, subsets=subsets)

    def seeds_of(self, target: str) -> range:
        return range(self.more_seeds.get(target, self.seeds))


@dataclass(frozen=True)
class Profile:
    """A named scale at which every notebook can run."""

    name: str
    description: str
    workers: int  # processes side by side, one thread each
    disk_gb: float  # free space that a cold run needs
    pools: dict[str, Pool]
    without: tuple[str, ...] = ()  # notebooks that make no sense at this scale

    def pool(self, name: str) -> Pool:
        if name not in self.pools:
            raise ValueError(unknown("pool", name, self.pools) + f" in profile {self.name!r}")
        return self.pools[name]


def unknown(kind: str, name: str, known) -> str:
    """The one sentence a mistyped name is answered with."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}: choose one of {', '.join(sorted(known))}{hint}"


def names() -> list[str]:
    return sorted(path.stem for path in paths.profiles().glob("*.yaml"))


def load(name: str | None = None) -> Profile:
    """Read a profile.

    Parameters
    ----------
    name : str, optional
        ``smoke``, ``demo``, ...; None takes the environment variable ``NCREPRO_PROFILE``, else ``demo``.

    Raises
    ------
    ValueError
        If there is no such profile, or its file holds a key that means nothing.
    """
    name = name or os.environ.get("NCREPRO_PROFILE") or "demo"
    if name not in names():
        raise ValueError(unknown("profile", name, names()))
    raw = yaml.safe_load((paths.profiles() / f"{name}.yaml").read_text())
    raw["without"] = tuple(raw.get("without", ()))
    pools = {pool: _pool(name, pool, entry) for pool, entry in raw.pop("pools").items()}
    _check_keys(f"{name}.yaml", raw, Profile)
    return Profile(name=name, pools=pools, **raw)


def _pool(profile: str, name: str, entry: dict) -> Pool:
    _check_keys(f"{profile}.yaml, pool {name}", entry, Pool)
    entry = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    entry["subsets"] = {key: _subset(profile, key, value) for key, value in entry.get("subsets", {}).items()}
    pool = Pool(name=name, **entry)
    for subset, part in pool.subsets.items():
        for kind, given, known in (("model", part.models, pool.architectures), ("target", part.targets, pool.targets)):
            for member in given:
                if member not in known:
                    raise ValueError(f"{profile}.yaml, subset {subset}: " + unknown(kind, member, known))
    return pool


def _subset(profile: str, name: str, entry: list | dict) -> Subset:
    entry = {"models": entry} if isinstance(entry, list) else entry
    _check_keys(f"{profile}.yaml, subset {name}", entry, Subset)
    return Subset(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})


def _check_keys(where: str, entry: dict, kind: type) -> None:
    known = {f.name for f in fields(kind)} - {"name", "pools"}
    for key in entry:
        if key not in known:
            raise ValueError(f"{where}: " + unknown("key", key, known))
