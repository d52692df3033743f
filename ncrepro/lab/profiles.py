"""What a profile runs: ``notebooks/profiles/<name>.yaml``, read and checked before any work starts."""

import os
import re
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from ..store import paths, schema, yaml12
from ..store.paths import profile_names as names
from ..store.schema import Names, NotNegative, Text, refuse_unknown, repetition_of, unknown
from . import recipes

Seeds = Annotated[int, schema.whole_number(1, 1000)]  # fine-tunings on a target; a repetition begins a thousand later


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

    models: Names  # architectures
    targets: Names = ()  # none: all of the pool's
    truth: Text = "accuracy"  # the column of accuracies.csv that judges it


def _short(where: str, given: Any) -> str:
    """The name of a pool or a subset, after which folders and tables are called."""
    if not re.fullmatch("[A-Za-z0-9_]{1,60}", schema.text(where, given)):
        schema.refuse(where, given, "letters, digits and _, 60 at most")
    return given


def _subset(where: str, given: Any) -> Subset:
    return schema.read(Subset, where, {"models": given} if isinstance(given, list) else given)


@dataclass(frozen=True)
class Pool:
    """The models that are ranked together, the targets they are ranked for, and how both are trained."""

    name: str
    architectures: Names
    sources: Names
    targets: Names
    pretrain: Annotated[dict, schema.mapping()]  # the fields of a recipe of the task, see `recipes`
    finetune: Annotated[dict, schema.mapping()]
    # The module of ncrepro.lab.tasks that trains and extracts.
    task: Annotated[str, schema.one_of(*recipes.tasks())] = "classification"
    losses: Names = ("cross_entropy",)  # of the pre-training
    seeds: Seeds = 1
    # Target -> seeds, where the budget allows more.
    more_seeds: Annotated[dict[str, int], schema.mapping(Seeds.__metadata__[0])] = field(default_factory=dict)
    # A paper's own pools; in the file, the architectures are enough.
    subsets: Annotated[dict[str, Subset], schema.mapping(_subset, _short)] = field(default_factory=dict)
    # Images per class of every data set; None takes all.
    max_per_class: Annotated[int | None, schema.optional(schema.Count.__metadata__[0])] = None
    # How features are taken, where the task leaves a choice.
    extract: Annotated[dict, schema.mapping()] = field(default_factory=dict)
    # Target -> its own recipe, where that is not ``finetune``.
    finetune_of: Annotated[dict[str, dict], schema.mapping(schema.mapping())] = field(default_factory=dict)

    @property
    def models(self) -> tuple[Model, ...]:
        """Every architecture on every source with every loss, named after what distinguishes them."""
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
        subsets = {
            name: replace(s, targets=tuple(t for t in s.targets if t in targets)) for name, s in self.subsets.items()
        }
        return replace(self, sources=sources, targets=targets, losses=losses, subsets=subsets)

    def finetune_on(self, target: str) -> dict:
        """The recipe of the fine-tunings on a target."""
        return self.finetune_of.get(target, self.finetune)

    def seeds_of(self, target: str) -> range:
        """The seeds of the fine-tunings on a target."""
        return range(self.more_seeds.get(target, self.seeds))


def _pool(where: str, given: Any) -> Pool:
    pool = schema.read(Pool, where, given, name=where.rpartition(".")[2])
    for target in pool.targets:
        if target in pool.sources:
            raise ValueError(f"{where}.targets: {target!r} is among the sources, too; take it out of one of them")
    named = [
        ("more_seeds", "target", pool.more_seeds, pool.targets),
        ("finetune_of", "target", pool.finetune_of, pool.targets),
    ]
    for name, part in pool.subsets.items():
        named += [
            (f"subsets.{name}.models", "model", part.models, pool.architectures),
            (f"subsets.{name}.targets", "target", part.targets, pool.targets),
            (f"subsets.{name}.truth", "truth", [part.truth], recipes.tasks()[pool.task].truths),
        ]
    for key, kind, given_names, known in named:
        for name in given_names:
            if name not in known:
                raise ValueError(f"{where}.{key}: " + unknown(kind, name, known))
    steps = {"pretrain": pool.pretrain, "finetune": pool.finetune, "extract": pool.extract}
    steps |= {f"finetune_of.{target}": recipe for target, recipe in pool.finetune_of.items()}
    for step, recipe in steps.items():
        recipes.check(pool.task, step.partition("_of.")[0], pool.sources, f"{where}.{step}", recipe)
    return pool


def _pools(where: str, given: Any) -> dict[str, Pool]:
    return schema.mapping(_pool, _short)(where, given) or schema.refuse(where, given, "one pool or more")


def _notebooks(where: str, given: Any) -> tuple[str, ...]:
    known = [path.stem for path in (paths.root() / "notebooks").glob("*.ipynb")]
    for name in schema.names(where, given):
        if known and name not in known:  # a place for results alone has no notebooks
            raise ValueError(f"{where}: " + unknown("notebook", name, known))
    return tuple(given)


@dataclass(frozen=True)
class Profile:
    """A named scale at which every notebook can run."""

    name: str
    description: Text
    workers: Annotated[int, schema.whole_number(1, 1024)]  # processes side by side, one thread each
    disk_gb: NotNegative  # free space that a cold run needs
    pools: Annotated[dict[str, Pool], _pools]
    without: Annotated[tuple[str, ...], _notebooks] = ()  # notebooks that make no sense at this scale
    repetition: int = 0  # of ``demo+2``: 2; the same work from other random seeds

    def pool(self, name: str) -> Pool:
        """The pool of that name."""
        if name not in self.pools:
            raise ValueError(unknown("pool", name, self.pools) + f" in profile {self.name!r}")
        return self.pools[name]


def repetition(profile: str, number: int) -> str:
    """The name of a repetition with other seeds, ``demo+2``; number 0 is the profile itself."""
    return f"{profile}+{number}" if number else profile


def load(name: str | None = None) -> Profile:
    """Read a profile, or a repetition of one.

    Parameters
    ----------
    name : str, optional
        ``smoke``, ``demo``, ...; None takes the environment variable ``NCREPRO_PROFILE``, else ``demo``. ``demo+2`` is
        the second repetition of ``demo``: the same file, other seeds.

    Raises
    ------
    ValueError
        If there is no such profile, or its file holds something without meaning. The message names file, key, value and
        remedy.
    OSError
        If the file cannot be read.
    """
    name = str(name or os.environ.get("NCREPRO_PROFILE") or "demo")
    refuse_unknown("profile", name.partition("+")[0], names())
    stem, number = repetition_of(name)
    try:
        raw = _read(paths.profiles() / f"{stem}.yaml")
        return schema.read(Profile, "", raw, name=name, repetition=number)
    except ValueError as error:
        raise ValueError(f"{stem}.yaml: {error}") from None


# The file -------------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Any:
    if not path.is_file():  # opening a named pipe would wait for ever
        raise ValueError("this is no file that can be read")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8 text") from None
    except OSError as error:
        raise OSError(f"{path.name} cannot be read: {error.strerror}") from None
    return yaml12.parse(text)
