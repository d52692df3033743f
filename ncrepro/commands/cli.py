"""The command line, ``ncrepro COMMAND``: most targets of make call one of its commands.

Every failure gives one clear line and a non-zero exit status. Each command imports only what it needs, so that none
loads torch without using it.
"""

import argparse
import os
import shlex
import shutil
import sys

from ..lab import manual_data, profiles
from ..store import artifacts, cluster, paths
from . import VERSION, jupyterlab, variables
from .make import make
from .run import NotebookFailed, end_on_sigterm, run

ANYWHERE = ("rank", "score")  # commands that need no checkout of the compendium
AS_WRITTEN = {"formatter_class": argparse.RawDescriptionHelpFormatter}

EXAMPLES = {
    "": """examples:
  ncrepro rank photos/ --models resnet50 mobilenet_v3_large timm/vit_small_patch16_224
  ncrepro score features.npz
  ncrepro COMMAND --help

exit status: 0 done, 1 the work failed, 2 the request is not valid""",
    "rank": """examples:
  ncrepro rank photos/ --models resnet50 mobilenet_v3_large
      photos/ holds one folder of images per class; train/ is taken if there are train/ and test/
  ncrepro rank photos/ --models resnet50 mine=resnet50:weights.pth --metrics ncti logme --html ranking.html
  ncrepro rank tickets.csv --text-column body --label-column queue --models bert-base-uncased roberta-base
  ncrepro rank one.npz two.npz --labels labels.csv --json

Features and scores are kept (NCREPRO_CACHE names the folder), so a second ranking of the same data is quick. Published
weights are taken from the caches of torch (TORCH_HOME) and Hugging Face (HF_HOME) if they are there.

exit status: 0 ranked, 1 the work failed (for example, a download), 2 the request is not valid""",
    "score": """examples:
  ncrepro score features.npz
      the file holds features (n, d) and labels (n,), and source_probs (n, K_s) for LEEP and NCE
  ncrepro score one.npz two.npz --labels labels.csv --metrics ncti logme

exit status: 0 scored, 1 the work failed, 2 the request is not valid""",
}


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; the status to exit with: 0 done, 1 the work failed, 2 wrong usage."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by what started this; a file that is opened could take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    argv = sys.argv[1:] if argv is None else argv
    command = next((word for word in argv if not word.startswith("-")), "")
    of_make = argv[:2] == ["rank", "--notebook"]  # `make rank`; another Makefile's variables mean something else
    arguments = _parser(command).parse_args([*argv, *(variables.of_rank() if of_make else ())])
    end_on_sigterm()
    paths.make_absolute()
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # an unprintable character must not stop the work
    try:
        if arguments.command not in ANYWHERE and not paths.is_checkout():
            print(
                f"error: ncrepro {arguments.command} needs a checkout of the compendium, with its notebooks and "
                "profiles: run it there, or name the folder in NCREPRO_ROOT (rank and score work anywhere)",
                file=sys.stderr,
            )
            return 2
        return _do(arguments) or 0
    except BrokenPipeError:  # who reads has read enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        return 1
    except (ValueError, OSError, NotebookFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if arguments.command in ANYWHERE and isinstance(error, ValueError) else 1
    except KeyboardInterrupt:
        print("error: interrupted; what was finished is kept", file=sys.stderr)
        return 130


def _parser(command: str) -> argparse.ArgumentParser:
    """All commands; of ``rank`` and ``score``, only the one that is called gets its options."""
    parser = _Parser(
        prog="ncrepro", description="Which pre-trained model should I fine-tune?", epilog=EXAMPLES[""], **AS_WRITTEN
    )
    parser.add_argument("--version", action="version", version=f"ncrepro {VERSION}")
    add = parser.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser
    for name, help_text in (
        ("rank", "rank models on data of your own"),
        ("score", "score features that were extracted elsewhere"),
    ):
        of_data = add(name, help=help_text, epilog=EXAMPLES[name], **AS_WRITTEN)
        if name == command:
            from . import rank_and_score  # loads scikit-learn and SciPy, a second that no other command needs

            rank_and_score.add_options(of_data, name)
    add("plan", help="say what a profile will run, in what order, how long it takes and how much disk")
    add("data", help="list the data sets and checkpoints that a profile needs: present or not, how to get them")
    add("check", help="check disk space, write access, and that every pool names only what exists")
    made = add("make", help="make all runs of a profile that are not up to date")
    made.add_argument("goals", nargs="*", default=["all"], help="all, features or a notebook in build/; default: all")
    add("run", help="make one run (20_supervised, 10_train_pool--text) unless it is up to date").add_argument("name")
    add("verify", help="compare the results with the committed reference")
    option = add("noise", help="run everything with other seeds, and measure how much results change").add_argument
    option("--repetitions", type=int, default=os.environ.get("REPETITIONS") or 5)
    option("--pools", type=lambda names: names.split(","), help="with --only-ranking: a,b; default all of the profile")
    option("--only-ranking", action="store_true", help="train, score and rank in this process, without the notebooks")
    option("--command", dest="runs", help="what runs one profile, {profile} for its name; default: make all")
    add("sample", help="make the committed sample of features again, and say what changed")
    option = add("lab", help="open JupyterLab on working copies of the notebooks").add_argument
    option("--refresh", type=str.split, default=os.environ.get("REFRESH", ""), help="copies to make again, or all")
    chosen = os.environ.get("LAB_OPTIONS", "")
    option("--options", type=shlex.split, default=chosen, help="of JupyterLab: '--no-browser'")
    add("course", help="run the solutions of the course, and write the students' notebooks and quizzes again")
    add("slides", help="write the slides of the course to build/slides")
    add("book", help="make a site of the notebooks, the figures and the interface")
    option = add("worker", help="work for a Dask scheduler, with the same arithmetic, until stopped").add_argument
    option("scheduler", help="tcp://host:8786")
    option("--number", type=int, help="number of workers without a GPU; default: one per core, or 0 with a GPU")
    digests = add("digests", help="print digests of what decides numbers, the same on every CPU")
    digests.add_argument("names", nargs="*", help="beginnings of names; default all")
    return parser


def _do(arguments: argparse.Namespace) -> int | None:
    command = arguments.command
    if command in ANYWHERE:
        from . import rank_and_score

        return getattr(rank_and_score, command)(arguments)
    if command == "worker":  # what it works on comes with the work
        return cluster.start_workers(arguments.scheduler, arguments.number)
    profile = profiles.load()
    if command == "check":
        check(profile)
    elif command == "run":
        run(arguments.name, profile)
    elif command == "make":
        return make(profile, arguments.goals, main)
    elif command == "verify":
        from . import verify  # loads SciPy

        return verify.verify(profile.name)
    elif command in ("plan", "data"):
        from . import plan  # loads torch, as all below

        print(plan.plan(profile) if command == "plan" else plan.as_text(plan.data(profile)))
    elif command == "digests":
        from . import step_digests

        step_digests.write(arguments.names)
    elif command == "sample":
        from . import sample

        sample.remake(profile.name)
    elif command in ("course", "slides"):
        from . import course  # loads nbformat

        course.make() if command == "course" else course.slides()
    elif command == "lab":
        folder = jupyterlab.working_copies(tuple(arguments.refresh))
        os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(folder), *arguments.options])
    elif command == "book":
        from . import book

        print(f"written: {paths.relative(book.build())}")
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
    """Raise an error for all that would stop a run later: a folder that cannot be written, a disk too full, a pool that
    names what its task does not know, absent data.
    """
    for folder in (paths.cache(profile.name), paths.results(profile.name), paths.figures(profile.name)):
        try:
            artifacts.check_folder(folder)
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
            raise ValueError(f"{profiles.repetition_of(profile.name)[0]}.yaml: pools.{pool}: {error}") from None
    if needed := manual_data.of(profile):
        from . import plan  # takes seconds to import, and only such profiles need it

        if absent := [name for name in needed if not plan.is_there(name)]:
            raise FileNotFoundError(
                f"profile {profile.name!r} needs data that cannot be downloaded for you: {', '.join(absent)}; "
                f"`make data PROFILE={profile.name}` says what to put where"
            )
