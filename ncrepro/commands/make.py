"""All runs of a profile that are not up to date, side by side, each in a copy of a process with the libraries in it."""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from graphlib import TopologicalSorter

from ..lab.profiles import Profile
from ..store import cluster, jobs, paths
from ..store.schema import unknown
from . import run as runs
from . import workflow
from .forked_process import Forked

LOOK_S = 0.05  # how often the runs are looked at
AT_A_TIME = 3  # one that trains and two that do not, so that no core is idle while a notebook starts or draws

# Libraries that most notebooks import: to load them takes longer than many notebooks run. No module of this package is
# loaded here, because each run records what it imports.
LIBRARIES = ("IPython", "ipykernel.kernelapp", "matplotlib.pyplot", "pandas", "safetensors.numpy", "scipy.stats",
             "seaborn", "sklearn.linear_model", "sklearn.mixture", "torch", "torchvision")  # fmt: skip

Command = Callable[[list[str]], int]  # what the words of a command line do; the status to exit with
Start = Callable[[list[str]], Forked | subprocess.Popen]  # a process that does it


def make(profile: Profile, goals: Iterable[str], command: Command) -> int:
    """Make what is not up to date of ``goals``: ``all``, ``features``, or notebooks in ``build``.

    make's own options count: ``-n`` says what would run, ``-j4`` runs four at a time, ``-k`` goes on after an error.

    Returns
    -------
    int
        The status to exit with.
    """
    options, runs = Options(os.environ.get("MAKEFLAGS", "")), _runs_to_make(profile, goals)
    if not runs:
        print(f"{profile.name}: nothing has to be made")
        return 0
    if options.only_say:
        print(*(f"python -m ncrepro run {run.name}" for run in runs), sep="\n")
        return 0
    with cluster.started():
        start = _starter(command)
        if status := start(["check"]).wait():
            return status
        return _side_by_side(runs, start, options)


class Options:
    """What make was told on its command line: the first word of ``MAKEFLAGS`` holds options of one letter."""

    def __init__(self, flags: str):
        words = flags.split(" -- ")[0].split(" ")
        letters = "" if words[0].startswith("-") or "=" in words[0] else words[0]
        number = next((word[2:] for word in words if word.startswith("-j") and word[2:].isdecimal()), AT_A_TIME)
        self.only_say, self.go_on, self.at_a_time = "n" in letters, "k" in letters, int(number)


def _runs_to_make(profile: Profile, goals: Iterable[str]) -> dict[workflow.Run, tuple[workflow.Run, ...]]:
    """The runs of `workflow.to_make` that the goals ask for, and those before them."""
    chosen = workflow.to_make(profile)
    files = {paths.relative(run.output(profile.name)): run for run in workflow.runs(profile)}
    requested: list[workflow.Run] = []
    for goal in goals:
        if goal not in ("all", "features", *files):
            raise ValueError(unknown("file to be made", goal, files))
        requested += (run for run in chosen if goal == "all" or goal == "features" and run.notebook[0] == "1")
        requested += (files[goal],) if goal in files and files[goal] in chosen else ()
    found = workflow.with_those_before(requested, chosen)
    return {run: before for run, before in chosen.items() if run in found}


def _starter(command: Command) -> Start:
    if jobs.START != "fork" or cluster.address():  # a cluster's client has threads, and a copy would lack them
        words = [sys.executable, "-W", "ignore", "-m", "ncrepro"]
        return lambda arguments: subprocess.Popen([*words, *arguments])
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as a kernel has it before it loads pyplot
    runs.load_papermill()
    for library in LIBRARIES:
        importlib.import_module(library)
    runs.is_loaded = True
    return lambda arguments: Forked(lambda: command(arguments))


def _side_by_side(runs: dict[workflow.Run, tuple[workflow.Run, ...]], start: Start, options: Options) -> int:
    """Make the ``runs``, each after those before it; the first status that is not 0."""
    order, places, failed = TopologicalSorter(runs), {run: i for i, run in enumerate(runs)}, 0
    order.prepare()
    ready, running = list(order.get_ready()), {}
    try:
        while running or ready and (options.go_on or not failed):
            ready.sort(key=places.__getitem__)
            while ready and len(running) < options.at_a_time and (options.go_on or not failed):
                run = ready.pop(0)
                running[run] = start(["run", run.name])
            time.sleep(LOOK_S)
            for run in [run for run, process in running.items() if process.poll() is not None]:
                if status := running.pop(run).returncode:
                    failed = failed or (status if status > 0 else 128 - status)  # a signal, as a shell has it
                else:
                    order.done(run)
                    ready += order.get_ready()
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    return failed
