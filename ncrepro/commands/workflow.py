"""Which runs a profile consists of, and which of them come before which.

A notebook's number says what it works on: 0 needs nothing but the package, 1 works on one pool at a time, 2 on the pool
it is named after, 3 and 4 on the tables of all pools unless `FEW_POOLS` names it, 9 on everything. What a run reads is
recorded when it runs, and a run that read what no run before it writes is refused: no error in this order stays unseen.
"""

import ast
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ..lab.profiles import Profile
from ..store import artifacts, fingerprint, manifest, paths
from ..store.schema import refuse_unknown

# Beyond what the numbers say.
AFTER = {
    "01_neural_collapse": ("10_train_pool--supervised",),  # follows models of that pool
    "21_selfsupervised": ("20_supervised",),  # compares with that pool's scores
}
# Notebooks of number 3 and 4 that need these only: they run while other pools are trained.
FEW_POOLS = {
    "31_low_shot": ("20_supervised",),
    "32_source_features": ("20_supervised", "21_selfsupervised"),
    "40_rank_your_own": ("20_supervised",),
    "41_rank": ("20_supervised",),
    "42_imagenet_weights": ("20_supervised",),
}


class Run(NamedTuple):
    """One notebook, for one pool where it works on any."""

    notebook: str
    pool: str = ""

    @property
    def name(self) -> str:
        """``20_supervised``, or ``10_train_pool--text`` where the notebook works on any pool."""
        return f"{self.notebook}--{self.pool}" if self.pool else self.notebook

    @property
    def source(self) -> Path:
        """The committed notebook."""
        return paths.notebooks() / f"{self.notebook}.ipynb"

    def output(self, profile: str) -> Path:
        """The executed notebook."""
        return paths.build(profile) / f"{self.name}.ipynb"

    def manifest(self, profile: str) -> Path:
        """The record of what the run read, wrote and rests on."""
        return paths.build(profile) / f"{self.name}.json"


def runs(profile: Profile) -> dict[Run, tuple[Run, ...]]:
    """Every run of a profile, and the runs that come before it."""
    names = sorted(p.stem for p in paths.notebooks().glob("[0-9]*.ipynb") if p.stem not in profile.without)
    own = {name: name.partition("_")[2] for name in names if name.startswith("2")}  # notebook -> its pool
    own = {name: pool for name, pool in own.items() if pool in profile.pools}
    before: dict[Run, tuple[Run, ...]] = {}
    last: tuple[Run, ...] = ()  # pools are trained one after the other: each uses all cores, and some share models
    for pool in own.values():
        training, features = Run("10_train_pool", pool), Run("11_extract_features", pool)
        before |= {training: last, features: (training,)}
        last = (training,)
    for name in names:  # in the order of their numbers
        if name[0] == "0":
            before[Run(name)] = ()
        elif name in own:
            before[Run(name)] = (Run("11_extract_features", own[name]),)
        elif name[0] in "34":
            before[Run(name)] = tuple(Run(other) for other in FEW_POOLS.get(name, own) if other in own)
        elif name[0] == "9":
            before[Run(name)] = tuple(before)  # last of all
    named = {run.name: run for run in before}
    for name, others in AFTER.items():
        if name in named:
            before[named[name]] += tuple(named[other] for other in others if other in named)
    return before


def with_those_before(chosen: Iterable[Run], order: Mapping[Run, tuple[Run, ...]]) -> set[Run]:
    """The chosen runs, and all that ``order`` puts before them."""
    found, waiting = set(), list(chosen)
    while waiting:
        if (run := waiting.pop()) not in found:
            found.add(run)
            waiting += order.get(run, ())
    return found


def run_named(name: str, profile: Profile) -> Run:
    """The run of that name, of those that the profile has."""
    known = {run.name: run for run in (*runs(profile), Run("10_train_pool"), Run("11_extract_features"))}
    refuse_unknown("notebook", name, known)
    return known[name]


def request(run: Run) -> dict:
    """What a run is asked to do: what its notebook's cells say, the pool, and the code that executes it.

    Raises
    ------
    ValueError
        If the notebook cannot be read, or it cannot be told what a cell uses.
    """
    code = code_of(run)
    try:
        found = fingerprint.of(code, stops=())
    except (LookupError, ValueError) as error:
        raise ValueError(f"{paths.relative(run.source)}: it cannot be told what its cells use ({error})") from None
    execution = fingerprint.of("ncrepro.commands.run:run_notebook", stops=(*fingerprint.KEEPING, __name__))
    return {"cells": artifacts.digest(_cells(run)), "pool": run.pool, "code": found, "execution": execution}


def code_of(run: Run) -> str:
    """The code of all cells of a run's notebook.

    Raises
    ------
    ValueError
        If a cell is not Python: then nobody knows what it uses.
    """
    code = [source for kind, source in _cells(run) if kind == "code"]
    for source in code:
        try:
            ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: it is nested too deeply
            reason = (
                f"{error.msg}: {(error.text or '').strip()[:80]!r}" if isinstance(error, SyntaxError) else str(error)
            )
            reason = f"a cell is not Python ({reason or 'nested too deeply'}); magics cannot be run here"
            raise ValueError(f"{paths.relative(run.source)}: {reason}") from None
    return "\n".join(code) + "\n"


def _cells(run: Run) -> list[tuple[str, str]]:
    return [(cell["cell_type"], "".join(cell["source"])) for cell in read_notebook(run.source)["cells"]]


def read_notebook(path: Path) -> dict:
    """A notebook's JSON.

    Raises
    ------
    ValueError
        If the file is no notebook.
    """
    try:
        content = json.loads(artifacts.plain_file(path).read_text(encoding="utf-8"))
        if content["nbformat"] != 4:
            raise ValueError(f"its format is {content['nbformat']!r}, not 4")
        content["metadata"].keys()
        for cell in content["cells"]:
            "".join(cell["source"]), "".join(cell["metadata"].get("tags", []))
            if cell["cell_type"] not in ("code", "markdown", "raw"):
                raise ValueError(f"a cell is of type {cell['cell_type']!r}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise ValueError(
            f"{paths.relative(path)} is not a notebook ({why}); `git checkout {paths.relative(path)}` brings it back"
        ) from None
    return content


def why_again(run: Run, profile: Profile) -> str | None:
    """Why a run has to be made again, in a few words; None if it is up to date."""
    return manifest.why_again(run.manifest(profile.name), request(run))


def to_make(profile: Profile) -> dict[Run, tuple[Run, ...]]:
    """The runs that are not up to date, and those after them, which may no longer be; each with those before it."""
    chosen: dict[Run, tuple[Run, ...]] = {}
    for run, before in runs(profile).items():
        waiting = tuple(other for other in before if other in chosen)
        if waiting or why_again(run, profile):
            chosen[run] = waiting
    return chosen
