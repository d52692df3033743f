"""One run of one notebook: executed if it is not up to date, and its manifest written beside its output."""

import fcntl
import json
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..lab import profiles
from ..store import artifacts, fingerprint, manifest, paths, trace
from ..store.schema import refuse_unknown
from . import workflow
from .forked_process import Forked

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}  # runs every notebook


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; how far it got is kept beside the output's place as ``*.failed.ipynb``."""


def run(name: str, profile: profiles.Profile) -> None:
    """Make a run of a profile (``20_supervised``, ``10_train_pool--text``) again, unless it is up to date.

    Another process that makes the same run is waited for.

    Raises
    ------
    ValueError
        If there is no such run, its notebook cannot be read or lacks its parameter, or it is refused by `check`.
    NotebookFailed
        If a cell raises, or the notebook's process dies.
    """
    chosen = workflow.run_named(name, profile)
    output, record = chosen.output(profile.name), chosen.manifest(profile.name)
    with _alone(record.with_suffix(".lock"), f"{name}: another make is running it, waiting"):
        request = workflow.request(chosen)
        reason = manifest.why_again(record, request)
        if reason is None:
            return
        print(f"{name}: {reason}" if record.exists() else name, flush=True)
        _remove(record)
        with _traced() as facts:
            run_notebook(chosen.source, output, {"pool": chosen.pool} if chosen.pool else {})
        manifest.save(record, request, facts, made=[output])
        check(chosen, profile)


def check(run: workflow.Run, profile: profiles.Profile) -> None:
    """Compare what a run imported and read with what it is known to rest on. Otherwise it could be out of date without
    notice.

    Raises
    ------
    ValueError
        If it imported a module of ours that no fingerprint of its manifest reaches, or read a table of the profile
        that no run before it writes.
    """
    content = manifest.load(run.manifest(profile.name))
    known = fingerprint.reach(workflow.code_of(run), stops=()).modules.union(
        *(fingerprint.reach(*used["roots"], stops=tuple(used["stops"])).modules for used in content["code"])
    )
    if unknown := [module for module in content["module"] if module not in known]:
        raise ValueError(
            f"{run.name} imported {', '.join(unknown)}, which ncrepro.store.fingerprint does not find in its code"
        )
    order = workflow.runs(profile)
    before = workflow.with_those_before([run], order) - {run}
    written = {
        file for other in before for file in (manifest.load(other.manifest(profile.name)) or {"write": ()})["write"]
    }
    own = paths.relative(paths.results(profile.name))
    strange = [file for file in content["read"] if file.startswith(f"{own}/") and file not in written]
    if strange and run in order:
        raise ValueError(
            f"{run.name} read {strange[0]}, which no run before it writes; name the run that does in workflow.AFTER"
        )


def _remove(file: Path) -> None:
    """Remove a file that a run will make again. A folder in its place is refused: somebody may want to keep what it
    holds.
    """
    if file.is_dir():
        artifacts.plain_file(file)
    file.unlink(missing_ok=True)


@contextmanager
def _alone(lock: Path, waiting: str) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with open(artifacts.plain_file(lock), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _traced() -> Iterator[list[str]]:
    """The facts that processes started inside the ``with`` block record; the list is filled when the block ends."""
    facts: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ[trace.FILE] = file = f"{folder}/trace"
        try:
            yield facts
        finally:
            del os.environ[trace.FILE]
        facts += Path(file).read_text(encoding="utf-8").splitlines() if Path(file).exists() else []


def run_notebook(notebook: Path, output: Path, parameters: dict[str, str], cwd: Path | None = None) -> None:
    """Execute ``notebook`` in the folder ``cwd`` (None: its own) into ``output``, which exists only if every cell ran.

    Raises
    ------
    ValueError
        If the notebook has not exactly one cell tagged ``parameters``, or a parameter's name is not in it.
    NotebookFailed
        If a cell raises, or the notebook's process dies.
    """
    papermill = load_papermill()
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    class Manager(AsyncKernelManager):
        """Asks a kernel to end without interrupting it first: an idle kernel reports an interrupt as an error. What a
        kernel prints when it ends goes to a file beside its sockets.
        """

        async def _async_launch_kernel(self, kernel_cmd: list[str], **options) -> None:
            stderr_file = folder / "kernel.txt"
            if copy is not None:
                self.provisioner.process = copy
                copy.become_kernel(kernel_cmd, options.get("cwd") or os.getcwd(), options["env"], stderr_file)
                return
            with open(stderr_file, "w") as file:
                await super()._async_launch_kernel(kernel_cmd, **{**options, "stderr": file})

        async def _async_interrupt_kernel(self) -> None:
            if not self.shutting_down:
                await super()._async_interrupt_kernel()

    known = parameter_names(workflow.read_notebook(notebook), notebook.name)
    for name in parameters:
        refuse_unknown("parameter", name, known, notebook.name)
    failed = output.with_suffix(".failed.ipynb")
    for old in (failed, output):
        _remove(old)
    copy = Copy() if is_loaded else None  # before papermill starts threads
    with folder_of_sockets() as folder:
        partial = folder / "running.ipynb"
        private = Config(KernelManager={"transport": "ipc", "ip": f"{folder}/kernel"})  # no open network ports
        try:
            papermill.execute_notebook(
                notebook, partial, parameters, cwd=cwd or notebook.parent, kernel_name=KERNEL["name"],
                progress_bar=False, stdout_file=sys.stdout, config=private, kernel_manager_class=Manager,
                request_save_on_cell_execute=False,  # it would write the whole notebook twice for every cell
            )  # fmt: skip
        except papermill.PapermillExecutionError as error:
            artifacts.write(failed, partial.read_bytes())
            raise NotebookFailed(
                f"{notebook.name}: {error.ename}: {error.evalue} (traceback in {paths.relative(failed)})"
            ) from None
        except RuntimeError as error:
            if not isinstance(error, DeadKernelError) and "Kernel died" not in str(error):  # the second as it starts
                raise
            raise NotebookFailed(
                f"{notebook.name}: its process was killed, most often for lack of memory; what it finished is kept: "
                f"free some memory, and run make again{_last_words(folder / 'kernel.txt')}"
            ) from None
        artifacts.write(output, tidy(json.loads(partial.read_text(encoding="utf-8"))))


def load_papermill():
    """papermill, which takes half a second to import, and which only the run of a notebook needs."""
    # jsonschema would compile a grammar of addresses, which takes a second and which nothing here needs
    sys.modules.setdefault("rfc3987_syntax", None)
    import papermill

    return papermill


is_loaded = False  # has this process the libraries of the notebooks, so that a copy of it makes a good kernel?


class Copy(Forked):
    """A copy of this process that waits to become a kernel; to jupyter_client the process that it would have begun."""

    def __init__(self):
        reads, self.tells = os.pipe()
        super().__init__(lambda: _wait_and_become_kernel(reads, self.tells))
        os.close(reads)

    def become_kernel(self, command: list[str], cwd: str, environment: dict[str, str], stderr_file: Path) -> None:
        """``command``: how jupyter_client would start it; ``stderr_file``: for what it prints of its own end."""
        message = {"arguments": command[3:], "cwd": str(cwd), "environment": environment, "said": str(stderr_file)}
        with open(self.tells, "w") as file:
            json.dump(message, file)


def _wait_and_become_kernel(reads: int, tells: int) -> int:
    """Become like a newly started kernel: with its environment, folder, signals and warnings, and without this package,
    so that the notebook's imports of this package are recorded.
    """
    os.close(tells)
    with open(reads) as file:
        text = file.read()
    if not text:  # the process that should have said it is gone
        return 1
    message = json.loads(text)
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.argv[1:] = message["arguments"]
    os.environ.clear()
    os.environ.update(message["environment"])
    os.chdir(message["cwd"])
    os.dup2(os.open(message["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    warnings.filters[:] = [kept for kept in warnings.filters if kept[:3] != ("ignore", None, Warning)]
    for name in [name for name in sys.modules if name.partition(".")[0] == "ncrepro"]:
        del sys.modules[name]
    import pandas as pd
    from ipykernel.kernelapp import launch_new_instance

    # As it was loaded, pandas took this for a terminal, and would cut tables to its width; in a notebook it does not.
    pd.set_option("display.max_columns", 20)
    launch_new_instance([*message["arguments"], f"--IPKernelApp.parent_handle={os.getppid()}"])
    return 0


def _last_words(stderr_file: Path) -> str:
    """The last line that a kernel has printed, in brackets; empty if it printed nothing."""
    lines = stderr_file.read_text(encoding="utf-8", errors="replace").split("\n") if stderr_file.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" (it said: {last[:200]})" if last else ""


@contextmanager
def folder_of_sockets() -> Iterator[Path]:
    """A folder for a kernel's sockets. Their paths must have fewer than about 100 letters: no long TMPDIR is used."""
    place = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


def end_on_sigterm() -> None:
    """Let a SIGTERM end this process cleanly, with its files and its kernel. A second SIGTERM is ignored: make sends
    one even if a signal to the whole group has already reached this process, and it would interrupt the cleaning.
    """

    def end(number: int, _) -> None:
        signal.signal(number, signal.SIG_IGN)
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)


def parameter_names(notebook: dict, name: str) -> list[str]:
    """The names that the cell tagged ``parameters`` assigns."""
    tagged = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{name} has {len(tagged)} cells tagged 'parameters', not one")
    lines = "".join(tagged[0]["source"]).splitlines()
    return [line.split("=")[0].strip() for line in lines if "=" in line and not line.startswith((" ", "#"))]


def tidy(notebook: dict) -> str:
    """A notebook as its reader sees it: the last state of a progress bar, what is folded, and no paths of the run."""
    notebook["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook["cells"]:
        cell["metadata"] = {key: cell["metadata"][key] for key in ("tags", "jupyter") if cell["metadata"].get(key)}
        if "outputs" in cell:
            cell["outputs"] = _join_streams(cell["outputs"])
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


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
