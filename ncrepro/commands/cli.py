"""The command line, ``python -m ncrepro COMMAND``: every target of make that computes something is one of its commands.

Every failure is one clear line and a non-zero exit. A command imports what only it needs, so that none waits for torch
in vain.
"""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from ..lab import manual_data as by_hand
from ..lab import profiles
from ..store import artifacts, cluster, paths
from . import lab, variables, workflow
from .run import NotebookFailed, end_on_sigterm, run, run_notebook


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; the status to exit with."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args([*argv, *(variables.of_rank() if argv[:1] == ["rank"] else ())])
    end_on_sigterm()
    try:
        return _do(arguments) or 0
    except (ValueError, OSError, NotebookFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ncrepro", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan", help="say what a profile will run, in what order, how long it takes and how much disk")
    commands.add_parser(
        "data", help="list the data sets and checkpoints that a profile needs: there or not, and how to get them"
    )
    commands.add_parser("check", help="is there room, can results be written, does every pool name what exists?")
    rules = commands.add_parser("rules", help="write what has to run as rules of a Makefile")
    rules.add_argument("file", type=Path)
    runs = commands.add_parser("run", help="make one run (20_supervised, 10_train_pool--text) unless it is up to date")
    runs.add_argument("name")
    commands.add_parser("verify", help="compare the results with the committed reference")
    yours = commands.add_parser("rank", help="rank models on data of one's own")
    for name, kind in variables.OF_RANK.items():
        yours.add_argument(f"--{name}", type=kind)
    yours.add_argument("--out")
    repeat = commands.add_parser("noise", help="run everything with other seeds, and measure how far it moves")
    repeat.add_argument("--repetitions", type=int, default=os.environ.get("REPETITIONS") or 5)
    repeat.add_argument(
        "--pools", type=lambda names: names.split(","), help="with --only-ranking: a,b; default all of the profile"
    )
    repeat.add_argument(
        "--only-ranking", action="store_true", help="train, score and rank in this process, without the notebooks"
    )
    repeat.add_argument(
        "--command", dest="runs", help="what runs one profile, {profile} for its name; default: make all"
    )
    commands.add_parser("sample", help="make the committed sample of features anew, and say what changed")
    opened = commands.add_parser("lab", help="open JupyterLab on working copies of the notebooks")
    opened.add_argument(
        "--refresh", type=str.split, default=os.environ.get("REFRESH", ""), help="copies to be made anew, or all"
    )
    worker = commands.add_parser("worker", help="work for a Dask scheduler, with the same arithmetic, until stopped")
    worker.add_argument("scheduler", help="tcp://host:8786")
    worker.add_argument(
        "--number", type=int, help="workers without a GPU; default: the cores, none where there is a GPU"
    )
    digests = commands.add_parser("digests", help="print digests of what decides numbers, the same on every CPU")
    digests.add_argument("names", nargs="*", help="beginnings of names; default all")
    return parser


def _do(arguments: argparse.Namespace) -> int | None:
    command = arguments.command
    if command == "worker":  # what it works on comes with the work
        return cluster.start_workers(arguments.scheduler, arguments.number)
    profile = profiles.load()
    if command == "check":
        check(profile)
    elif command == "run":
        run(arguments.name, profile)
    elif command == "rules":
        artifacts.write(arguments.file, workflow.rules(profile))
    elif command == "rank":
        rank(
            {name: getattr(arguments, name) for name in variables.OF_RANK if getattr(arguments, name) is not None},
            arguments.out,
        )
    elif command == "verify":
        from . import verify  # loads SciPy

        return verify.verify(profile.name)
    elif command in ("plan", "data"):
        from . import plan  # loads torch, as all below

        print(plan.plan(profile) if command == "plan" else plan.as_text(plan.data(profile)))
    elif command == "digests":
        from . import digests

        digests.write(arguments.names)
    elif command == "sample":
        from . import sample

        sample.remake(profile.name)
    elif command == "lab":
        folder = lab.working_copies(tuple(arguments.refresh))
        os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(folder)])
    elif command == "noise":
        from . import noise

        if arguments.pools and not arguments.only_ranking:
            raise ValueError("--pools is for --only-ranking; without it everything of the profile is run")
        pools = (arguments.pools or list(profile.pools)) if arguments.only_ranking else None
        return noise.noise(profile.name, arguments.repetitions, pools, arguments.runs)
    return None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"error: {message}\n")


# Before the work ------------------------------------------------------------------------------------------------------


def check(profile: profiles.Profile) -> None:
    """Raise an error for whatever would stop a run later on.

    That is: a folder that cannot be written, a disk too full, a pool that names what its task does not know, absent
    data.
    """
    for folder in (paths.cache(profile.name), paths.results(profile.name), paths.figures(profile.name)):
        try:
            artifacts.write(folder / ".writable", b"")
            (folder / ".writable").unlink()
        except OSError as error:
            raise OSError(f"{paths.relative(folder)} cannot be written: {error.strerror}") from None
    free_gb = shutil.disk_usage(paths.root()).free / 1e9
    if free_gb < profile.disk_gb:
        raise OSError(f"profile {profile.name!r} needs {profile.disk_gb} GB of disk, {free_gb:.1f} GB are free")
    from ..lab.experiment import Experiment  # loads torch, which only this and the run of a notebook need

    for pool in profile.pools:
        try:
            Experiment(pool, profile.name)
        except ValueError as error:
            raise ValueError(f"{profile.name.partition('+')[0]}.yaml: pools.{pool}: {error}") from None
    if needed := by_hand.of(profile):
        from . import plan  # takes seconds to import, and only such profiles need it

        if absent := [name for name in needed if not plan.is_there(name)]:
            raise FileNotFoundError(
                f"profile {profile.name!r} needs data that cannot be downloaded for you: {', '.join(absent)}; "
                f"`make data PROFILE={profile.name}` says what to put where"
            )


# A ranking on one's own data ------------------------------------------------------------------------------------------


def rank(parameters: dict[str, str | int], out: str | Path | None = None) -> None:
    """Execute 41_rank on data of one's own: notebook and table into ``out`` or ``data/results/rank/NAME``, and the
    figure.

    Paths are those of the folder that this is called in. NAME is that of the data, and a digest of where they lie.

    Raises
    ------
    ValueError
        If not exactly one of ``images``, ``text`` and ``features`` is given, or something is given empty.
    NotebookFailed
        If it cannot be done: the message says why.
    """
    for name, value in (parameters | {"out": out}).items():
        if value is not None and not str(value).strip():
            raise ValueError(f"{name.upper()} is empty; give it a value, or leave it out")
    lists = {name: listed(name, parameters[name]) for name in ("features", "models") if name in parameters}
    parameters = parameters | {
        name: value[0] if name == "features" and len(value) == 1 else value for name, value in lists.items()
    }
    data = [parameters[kind] for kind in ("images", "text", "features") if kind in parameters]
    if len(data) != 1:
        raise ValueError(
            f"{len(data)} data sets are named; name one: make rank IMAGES=folder MODELS='resnet50 ...', TEXT=file.csv "
            "MODELS='bert-base-uncased ...', or FEATURES='one.npz two.npz'"
        )
    results, figures = (out, out) if out else (paths.results("rank", _name_of(data[0])), paths.figures("rank"))
    places = {"results": str(Path(results).resolve()), "figures": str(Path(figures).resolve())}
    run_notebook(
        paths.root() / "notebooks" / "41_rank.ipynb",
        Path(results).resolve() / "rank.ipynb",
        parameters | places,
        Path.cwd(),
    )
    print(
        f"written: {paths.relative(results)}/ranking.csv, rank.ipynb; "
        f"{paths.relative(figures)}/{Path(results).resolve().name}.png, .pdf"
    )


def listed(name: str, value: str) -> list[str]:
    """The names and paths of a list: one that exists as it is, or several, parted by blanks and quoted as in a
    shell.
    """
    if os.path.exists(value):  # unlike Path.exists, also of what is too long to be a path
        return [value]
    try:
        return shlex.split(value)
    except ValueError:
        raise ValueError(
            f"{name.upper()} is {value}: a quote in it does not end; put a path with a blank or a quote into quotes, "
            "as in "
            f"{name.upper()}=\"'my files/one' 'my files/two'\""
        ) from None


def _name_of(data: str | list[str]) -> str:
    """A name for the results on these data, which others of the same name elsewhere do not have."""
    places = [Path(place).expanduser().resolve() for place in ([data] if isinstance(data, str) else data)]
    name = places[0].name if places[0].is_dir() else places[0].stem
    return f"{name[:60]}-{artifacts.digest(list(map(str, places)))[:6]}"
