"""What ``make`` calls: look before leaping, run one notebook, compare with the reference, measure how far repetitions move.

``python -m ncrepro.pipeline check | run | rank | verify | noise``; every failure is one clear line and a non-zero exit.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from . import artifacts, by_hand, paths, profiles


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ncrepro.pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="is this profile known, is there room, can results be written?")
    run = commands.add_parser("run", help="execute one notebook")
    run.add_argument("notebook", type=Path)
    run.add_argument("output", type=Path)
    run.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    yours = commands.add_parser("rank", help="rank models on data of one's own")
    for name, kind in OF_RANK.items():
        yours.add_argument(f"--{name}", type=kind)
    yours.add_argument("--out", type=Path)
    commands.add_parser("verify", help="compare the results with the committed reference")
    repeat = commands.add_parser("noise", help="run everything with other seeds, and measure how far it moves")
    repeat.add_argument("--repetitions", type=int, default=5)
    repeat.add_argument("--pools", type=lambda names: names.split(","), help="with --only-ranking: a,b; default all of the profile")
    repeat.add_argument("--only-ranking", action="store_true", help="train, score and rank in this process, without the notebooks")
    repeat.add_argument("--command", dest="runs", help="what runs one profile, {profile} for its name; default: make all")
    arguments = parser.parse_args(argv)
    try:
        profile = profiles.load()
        if arguments.command == "check":
            check(profile)
        elif arguments.command == "run":
            run_notebook(arguments.notebook, arguments.output, dict(arguments.parameter))
        elif arguments.command == "rank":
            rank({name: getattr(arguments, name) for name in OF_RANK if getattr(arguments, name) is not None}, arguments.out)
        elif arguments.command == "noise":
            from .commands import noise  # loads torch

            if arguments.pools and not arguments.only_ranking:
                raise ValueError("--pools is for --only-ranking; without it everything of the profile is run")
            pools = (arguments.pools or list(profile.pools)) if arguments.only_ranking else None
            return noise.noise(profile.name, arguments.repetitions, pools, arguments.runs)
        else:
            from .commands import verify  # loads SciPy

            return verify.verify(profile.name)
    except (ValueError, OSError, NotebookFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


# Before the work ------------------------------------------------------------------------------------------------------


def check(profile: profiles.Profile) -> None:
    """Raise an error for whatever would stop a run later on: a folder that cannot be written, a disk too full, absent data."""
    for folder in (paths.cache(profile.name), paths.results(profile.name), paths.figures(profile.name)):
        try:
            artifacts.write(folder / ".writable", b"")
            (folder / ".writable").unlink()
        except OSError as error:
            raise OSError(f"{paths.relative(folder)} cannot be written: {error.strerror}") from None
    free_gb = shutil.disk_usage(paths.root()).free / 1e9
    if free_gb < profile.disk_gb:
        raise OSError(f"profile {profile.name!r} needs {profile.disk_gb} GB of disk, {free_gb:.1f} GB are free")
    if needed := by_hand.of(profile):
        from . import catalogue  # takes seconds to import, and only such profiles need it

        if absent := [name for name in needed if not catalogue.is_there(name)]:
            raise FileNotFoundError(
                f"profile {profile.name!r} needs data that cannot be downloaded for you: {', '.join(absent)}; "
                f"`make data PROFILE={profile.name}` says what to put where"
            )


# One notebook ---------------------------------------------------------------------------------------------------------


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; what it got to is kept beside the output's place as ``*.failed.ipynb``."""


def run_notebook(notebook: Path, output: Path, parameters: dict[str, str], cwd: Path | None = None) -> None:
    """Execute ``notebook`` in the folder ``cwd`` (its own, if None) into ``output``, which exists only if every cell ran.

    Raises
    ------
    ValueError
        If the notebook has not exactly one cell tagged ``parameters``, or a parameter's name is not in it.
    NotebookFailed
        If a cell raises.
    """
    import papermill  # takes a second to import, and only this command needs it
    from traitlets.config import Config

    known = parameter_names(json.loads(notebook.read_text()), notebook.name)
    for name in parameters:
        if name not in known:
            raise ValueError(f"{notebook.name}: " + profiles.unknown("parameter", name, known))
    failed = output.with_suffix(".failed.ipynb")
    partial = output.with_suffix(".running.ipynb")
    output.parent.mkdir(parents=True, exist_ok=True)
    for old in (failed, output, partial):
        old.unlink(missing_ok=True)
    print(f"{notebook.stem} {' '.join(map(str, parameters.values()))}".strip(), flush=True)
    try:
        with tempfile.TemporaryDirectory() as sockets:
            private = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})  # no open network ports
            papermill.execute_notebook(
                notebook, partial, parameters, cwd=cwd or notebook.parent, kernel_name="python3",
                progress_bar=False, stdout_file=sys.stdout, config=private,
            )  # fmt: skip
    except papermill.PapermillExecutionError as error:
        os.replace(partial, failed)
        raise NotebookFailed(f"{notebook.name}: {error.ename}: {error.evalue} (traceback in {paths.relative(failed)})") from None
    tidy(partial)
    os.replace(partial, output)


def parameter_names(notebook: dict, name: str) -> list[str]:
    """The names that the cell tagged ``parameters`` assigns."""
    tagged = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{name} has {len(tagged)} cells tagged 'parameters', not one")
    lines = "".join(tagged[0]["source"]).splitlines()
    return [line.split("=")[0].strip() for line in lines if "=" in line and not line.startswith((" ", "#"))]


def tidy(path: Path) -> None:
    """Leave in a notebook what its reader sees: the last state of a progress bar, and no record of the run's paths."""
    notebook = json.loads(path.read_text())
    notebook["metadata"] = {"kernelspec": notebook["metadata"]["kernelspec"], "language_info": {"name": "python"}}
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags")
        cell["metadata"] = {"tags": tags} if tags else {}
        if "outputs" in cell:
            cell["outputs"] = _join_streams(cell["outputs"])
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def _join_streams(outputs: list[dict]) -> list[dict]:
    joined: list[dict] = []
    for output in outputs:
        if output["output_type"] == "stream" and joined and joined[-1].get("name") == output["name"]:
            joined[-1]["text"] += "".join(output["text"])
        else:
            joined.append({**output, "text": "".join(output["text"])} if output["output_type"] == "stream" else output)
    for output in joined:
        if output["output_type"] == "stream":
            lines = output["text"].split("\n")
            output["text"] = "\n".join(line.rstrip("\r").split("\r")[-1] for line in lines)
    return joined


# A ranking on one's own data ------------------------------------------------------------------------------------------

# The parameters of 41_rank that can be given to make, and what they are.
OF_RANK = {name: str for name in ("images", "text", "features", "models", "metrics", "text_column", "label_column", "on_error")} | {
    "max_per_class": int, "batch_size": int, "n_bootstrap": int,
}  # fmt: skip


def rank(parameters: dict[str, str | int], out: Path | None = None) -> None:
    """Execute 41_rank on data of one's own: notebook and table into ``out`` or ``data/results/rank/NAME``, and the figure.

    Paths are those of the folder that this is called in.

    Raises
    ------
    ValueError
        If not exactly one of ``images``, ``text`` and ``features`` is given.
    NotebookFailed
        If it cannot be done: the message says why.
    """
    data = [parameters[kind] for kind in ("images", "text", "features") if kind in parameters]
    if len(data) != 1:
        raise ValueError(f"{len(data)} data sets are named; name one: make rank IMAGES=folder MODELS='resnet50 ...', TEXT=file.csv "
                         "MODELS='bert-base-uncased ...', or FEATURES='one.npz two.npz'")
    results, figures = (out, out) if out else (paths.results("rank", Path(data[0].split()[0]).stem), paths.figures("rank"))
    places = {"results": str(Path(results).resolve()), "figures": str(Path(figures).resolve())}
    run_notebook(paths.root() / "notebooks" / "41_rank.ipynb", Path(results).resolve() / "rank.ipynb", parameters | places, Path.cwd())
    print(f"written: {paths.relative(results)}/ranking.csv, rank.ipynb; {paths.relative(figures)}/{Path(results).resolve().name}.png, .pdf")


if __name__ == "__main__":
    sys.exit(main())
