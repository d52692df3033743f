"""What a run survives: ``python -m bench.faults`` damages, deletes, edits, kills and crowds runs of the smoke profile
in a copy.

Faults that cannot hide each other are put into one copy together. Each file fault is in a file of another notebook, and
a few runs are killed, crowded or short of disk, one after the other. Then ``make all`` runs once more. The result is
right if every table, figure and artefact has the bytes of an undisturbed run. It is also right if make refuses in one
line that names the fault, and the repaired copy gives those bytes. A group that is not right is halved until each fault
that causes this is in a group of its own.

The faults follow from ``--seed``; a campaign that was stopped goes on where it was, and the table, one row for each
fault, goes to ``data/reference/faults/faults.csv``.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
from safetensors import SafetensorError, safe_open

from ncrepro.store import artifacts, paths, schema

FIRST_LIMIT_S = 4 * 3600  # of the first run, which is cold; it measures how long a later one may take
PARTS = ("ncrepro", "bench", "notebooks", "data", "Makefile", "requirements.txt")
NOT_COPIED = ("cache", "results", "faults", "__pycache__", ".ipynb_checkpoints", "smoke")
TIMED = ("seconds_", "ncti_fig4", "cost")  # what holds times differs from run to run
TIMED_ARRAYS = ("seconds", "peak_mb")
FOREIGN = "foreign"  # files of this name are ours, and of no run
ODD = "odd_features"  # a file that claims to hold features, but does not
RIGHT = ("same bytes", "refused in one line")


class Copy:
    """A copy of the sources in which the smoke profile, or another one, runs."""

    def __init__(self, folder: Path, limit_s: float = FIRST_LIMIT_S, profile: str = "smoke"):
        self.folder, self.limit_s = folder, limit_s
        self.environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(folder)}
        self.command = ["make", "all", f"PROFILE={profile}", f"PYTHON={sys.executable}"]

    def take_sources(self) -> None:
        """Copy the sources, and nothing that was made of them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for part in PARTS:
            source, target = paths.root() / part, self.folder / part
            if source.is_file():
                shutil.copy(source, target)
            else:
                shutil.copytree(source, target, ignore=shutil.ignore_patterns(*NOT_COPIED))

    def make(self, **options) -> tuple[int, str]:
        """Exit status and output of ``make all``; 124 if it hangs."""
        return self.end(self.start(**options))

    def end(self, process: subprocess.Popen, limit_s: float | None = None) -> tuple[int, str]:
        """Exit status and output of a process that was started; 124 if it had to be killed."""
        try:
            output, _ = process.communicate(timeout=limit_s or self.limit_s)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return 124, process.communicate()[0]

    def start(self, command: list[str] | None = None, **options) -> subprocess.Popen:
        return subprocess.Popen(
            command or self.command,
            cwd=self.folder,
            env=self.environment | options.pop("variables", {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            **options,
        )

    def state(self) -> dict[str, str]:
        """Every table, figure and artefact, and a digest of what it holds, and every run whose record does not hold."""
        found = {}
        for place in ("data/results/smoke", "figures/smoke", "data/cache/smoke", "data/cache/datasets"):
            for path in sorted((self.folder / place).rglob("*")):
                if path.is_file() and not path.name.startswith((*TIMED, FOREIGN)) and path.suffix != ".tmp":
                    found[self.name(path)] = _digest(path)
        for run in self.manifests():
            for file, digest in run["write"].items():
                path = self.folder / file
                if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest()[:16] != digest:
                    found[file] = "not what its run wrote"
            found[run["name"]] = "has run"
        return found

    def manifests(self) -> list[dict]:
        """What every run noted, and its name; a damaged one is left out."""
        found = []
        for path in sorted((self.folder / "build/smoke").glob("*.json")):
            try:
                found.append(json.loads(path.read_text()) | {"name": path.stem})
            except (ValueError, TypeError):
                continue
        return found

    def files(self, *patterns: str) -> list[Path]:
        found = [p for pattern in patterns for p in sorted(self.folder.glob(pattern)) if p.is_file()]
        return [p for p in found if not p.name.startswith(FOREIGN)]

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _digest(path: Path) -> str:
    """A digest of what a file holds, but for times: the index of figures says what is found in them too."""
    if path.suffix != ".safetensors":
        content = path.read_bytes()
        if path.name == "index.csv":
            timed = tuple(name.encode() for name in TIMED)
            content = b"\n".join(line for line in content.split(b"\n") if not line.startswith(timed))
        return hashlib.sha256(content).hexdigest()
    try:
        with safe_open(path, framework="numpy") as file:
            hasher = hashlib.sha256((file.metadata() or {}).get("spec", "").encode())
            for key in sorted(file.keys()):
                array = file.get_tensor(key)
                hasher.update(f"{key} {array.dtype} {array.shape}".encode())
                hasher.update(b"" if key in TIMED_ARRAYS else array.tobytes())
        return hasher.hexdigest()
    except (OSError, SafetensorError):
        return "damaged"


# Faults ---------------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Fault:
    """One fault, as it is drawn: nothing has been done yet."""

    number: int
    kind: str
    what: str  # in words
    strike: Callable[[Copy], None]  # the damage, before make
    owners: frozenset = frozenset()  # the runs that it makes necessary again
    disturb: Callable[[Copy], str] | None = None  # a run of make that goes wrong; what was not clear about it
    mend: Callable[[Copy], None] | None = None  # of a fault that make may refuse: what its reader would do
    refusal: tuple[str, ...] = ()  # paths, one of which such a refusal says
    check: Callable[[Copy], tuple[str, str]] | None = None  # outcome, of a fault that is judged by itself

    def is_named(self, line: str) -> bool:
        """Does a line say which file is in the way?"""
        return any(name in line for name in self.refusal)


KEPT = {
    "a table": ("data/results/smoke/*/*.csv",),
    "a figure": ("figures/smoke/*.p*",),
    "an executed notebook": ("build/smoke/*.ipynb",),
    "a manifest": ("build/smoke/*.json", "build/smoke/figures/*.json"),
    "an artefact": ("data/cache/smoke/*/*.safetensors",),
    "a data set": ("data/cache/datasets/*",),
    "a register": ("data/cache/*.json",),
}
DAMAGE: dict[str, Callable[[bytes, Random], bytes]] = {
    "emptied": lambda content, chance: b"",
    "cut": lambda content, chance: content[: chance.randrange(len(content) or 1)],
    "overwritten": lambda content, chance: chance.randbytes(len(content)),
    "one bit turned": lambda content, chance: _one_bit(content, chance.randrange(8 * (len(content) or 1))),
    "doubled": lambda content, chance: content + content,
}


def _one_bit(content: bytes, place: int) -> bytes:
    turned = bytearray(content or b"\0")
    turned[place // 8] ^= 1 << place % 8
    return bytes(turned)


class Context(NamedTuple):
    """What is known of the undisturbed copy, and the random numbers of one fault."""

    copy: Copy
    runs: list[dict]
    chance: Random

    def file(self, kinds: tuple[str, ...] = tuple(KEPT)) -> tuple[str, str]:
        kind = self.chance.choice(kinds)
        return kind, self.copy.name(self.chance.choice(self.copy.files(*KEPT[kind])))

    def owners(self, *files: str) -> frozenset:
        """Who has to run again for a file, or for a folder of them; the file itself where no run notes it."""
        found = set()
        for run in self.runs:
            noted = [*run["write"], *run["artefact"], f"build/smoke/{run['name']}.json"]
            if any(one == file or one.startswith(f"{file}/") for file in files for one in noted):
                found.add(run["name"])
        return frozenset(found or files)


def damage(context: Context) -> dict:
    kind, file = context.file()
    how, seed = context.chance.choice(list(DAMAGE)), context.chance.random()

    def strike(copy: Copy) -> None:
        path = copy.folder / file
        path.write_bytes(DAMAGE[how](path.read_bytes(), Random(seed)))

    return {"what": f"{kind} {how}: {file}", "strike": strike, "owners": context.owners(file)}


def delete(context: Context) -> dict:
    if context.chance.random() < 0.15:
        folders = [
            p for place in ("data/results/smoke", "data/cache/smoke") for p in (context.copy.folder / place).iterdir()
        ]
        folders += [context.copy.folder / place for place in ("data/results", "figures/smoke", "build/smoke")]
        file = context.copy.name(context.chance.choice(sorted(p for p in folders if p.is_dir())))
        return {
            "what": f"a folder deleted: {file}",
            "strike": lambda copy: shutil.rmtree(copy.folder / file, ignore_errors=True),
            "owners": context.owners(file),
        }
    kind, file = context.file()
    return {
        "what": f"{kind} deleted: {file}",
        "strike": lambda copy: (copy.folder / file).unlink(missing_ok=True),
        "owners": context.owners(file),
    }


def edit(context: Context) -> dict:
    _, file = context.file(("a table",))
    how = context.chance.choice(["a row doubled", "a row lost", "a number changed", "rows in another order"])
    place = context.chance.random()

    def strike(copy: Copy) -> None:
        lines = (copy.folder / file).read_text().splitlines()
        row = min(1 + int(place * (len(lines) - 1)), len(lines) - 1)
        if how == "a row doubled":
            lines.insert(row, lines[row])
        elif how == "a row lost":
            del lines[row]
        elif how == "a number changed" or len(lines) < 3:
            lines[row] = lines[row][:-1] + ("7" if lines[row][-1:] != "7" else "3")
        else:
            lines[1:] = lines[:0:-1]
        (copy.folder / file).write_text("\n".join(lines) + "\n")

    return {"what": f"{how}: {file}", "strike": strike, "owners": context.owners(file)}


def in_the_way(context: Context) -> dict:
    """Make may take the folder away or refuse; nothing else may have to be mended by hand."""
    _, file = context.file(("a table", "a figure", "an artefact", "an executed notebook"))

    def strike(copy: Copy) -> None:
        (copy.folder / file).unlink(missing_ok=True)
        (copy.folder / file).mkdir(parents=True)

    def mend(copy: Copy) -> None:
        if (copy.folder / file).is_dir():
            (copy.folder / file).rmdir()

    what = f"a folder in the place of {file}"
    return {"what": what, "strike": strike, "owners": context.owners(file), "mend": mend, "refusal": (file,)}


def not_writable(context: Context) -> dict:
    """A folder of results that cannot be written; for root, whom no permission stops, it is a file."""
    pool = context.chance.choice(
        sorted(p.name for p in (context.copy.folder / "data/results/smoke").iterdir() if p.is_dir())
    )
    file = f"data/results/smoke/{pool}"

    def strike(copy: Copy) -> None:
        shutil.rmtree(copy.folder / file, ignore_errors=True)
        if os.geteuid():
            (copy.folder / file).mkdir(mode=0o555)
        else:
            (copy.folder / file).write_text("")

    def mend(copy: Copy) -> None:
        path = copy.folder / file
        path.chmod(0o755) if path.is_dir() else path.unlink(missing_ok=True)

    what = f"{file} cannot be written"
    return {"what": what, "strike": strike, "owners": context.owners(file), "mend": mend, "refusal": (f"{file}/",)}


def leftover(context: Context) -> dict:
    """What an interrupted run or a reader leaves beside the results."""
    run = context.chance.choice(context.runs)["name"]
    pool = context.chance.choice(
        sorted(p.name for p in (context.copy.folder / "data/results/smoke").iterdir() if p.is_dir())
    )
    file = context.chance.choice(
        [
            f"build/smoke/{run}.running.ipynb",
            f"build/smoke/{run}.failed.ipynb",
            f"data/results/smoke/{pool}/.scores.csv.0badcafe.tmp",
            f"data/results/smoke/{pool}/{FOREIGN}.csv",
            f"figures/smoke/{FOREIGN}.png",
            f"data/cache/smoke/finetuned/{FOREIGN}.safetensors",
        ]
    )
    content = context.chance.randbytes(context.chance.randrange(2000))

    def strike(copy: Copy) -> None:
        (copy.folder / file).parent.mkdir(parents=True, exist_ok=True)
        (copy.folder / file).write_bytes(content)

    return {"what": f"a file left behind: {file}", "strike": strike}


def times_only(context: Context) -> dict:
    then = context.chance.choice([1, time.time() + 1e6])

    def strike(copy: Copy) -> None:
        for path in copy.folder.rglob("*"):
            os.utime(path, (then, then))

    return {"what": f"every file's time changed to {'1970' if then == 1 else 'the future'}", "strike": strike}


# Runs that go wrong. Each brings work of its own, so that there is something to disturb.


def _with_work(context: Context, what: str, disturb: Callable[[Copy], str]) -> dict:
    pools = sorted(p.name for p in (context.copy.folder / "data/results/smoke").iterdir() if p.is_dir())
    pool = context.chance.choice(pools)
    models = [
        f for run in context.runs for f in run["artefact"] if run["name"].endswith(f"--{pool}") and "finetuned" in f
    ]
    lost = [context.chance.choice(sorted(models))] if models and context.chance.random() < 0.5 else []

    def strike(copy: Copy) -> None:
        shutil.rmtree(copy.folder / "data/results/smoke" / pool, ignore_errors=True)
        for file in lost:
            (copy.folder / file).unlink(missing_ok=True)

    owners = context.owners(f"data/results/smoke/{pool}", *lost)
    again = f"{what}, while {pool} was made again" + (" with a model of it" if lost else "")
    return {"what": again, "strike": strike, "owners": owners, "disturb": disturb}


def _unclear(status: int, output: str) -> str:
    """What is wrong with how a run failed: nothing, if it failed in a line."""
    if status == 124:
        return "hangs"
    return "a traceback: " + output[-300:] if "Traceback" in output else ""


def kill(context: Context) -> dict:
    after = context.chance.uniform(1, 40)
    number = context.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])

    def disturb(copy: Copy) -> str:
        process = copy.start()
        try:
            output, _ = process.communicate(timeout=after)
            return _unclear(process.returncode, output)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, number)
            return _unclear(*copy.end(process))

    return _with_work(context, f"{number.name} of all processes after {after:.0f} s", disturb)


def kill_one_process(context: Context) -> dict:
    """A worker, a kernel, a run or make, as the system does when memory runs out; make then fails in one line."""
    after, which = context.chance.uniform(5, 30), context.chance.random()
    number = context.chance.choice([signal.SIGKILL, signal.SIGTERM])

    def disturb(copy: Copy) -> str:
        process = copy.start()
        try:
            process.communicate(timeout=after)
            return ""
        except subprocess.TimeoutExpired:
            below = psutil.Process(process.pid).children(recursive=True)
            if below:
                with suppress(psutil.NoSuchProcess):
                    below[int(which * len(below))].send_signal(number)
            return _unclear(*copy.end(process))

    return _with_work(context, f"{number.name} of one process after {after:.0f} s", disturb)


def two_makes(context: Context) -> dict:
    pause = context.chance.choice([0, 0, context.chance.uniform(0, 10)])

    def disturb(copy: Copy) -> str:
        first = copy.start()
        with tempfile.TemporaryFile("w+") as log:  # the second one's pipe is not read meanwhile
            time.sleep(pause)
            second = subprocess.Popen(
                copy.command, cwd=copy.folder, env=copy.environment, stdout=log, stderr=log, start_new_session=True
            )
            status, output = copy.end(first)
            copy.end(second)
            log.seek(0)
            output += log.read()
        if [status, second.returncode] != [0, 0]:
            return "one of the two failed: " + output[-300:]
        return _unclear(status, output)

    return _with_work(context, f"two makes, {pause:.0f} s apart", disturb)


def disk_full(context: Context) -> dict:
    """No file may grow beyond a few kilobytes, as if the disk were full. Make must fail, and no incomplete file may
    stay. Python writes no compiled modules here: before 3.12.8 it would leave an incomplete one, which no program could
    repair.
    """
    import resource

    limit = context.chance.choice([0, 1_000, 20_000])
    ignored = (
        "import signal, os, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"
    )

    def disturb(copy: Copy) -> str:
        narrow = [sys.executable, "-c", ignored, *copy.command]
        bound = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # noqa: E731
        return _unclear(*copy.end(copy.start(narrow, preexec_fn=bound, variables={"PYTHONDONTWRITEBYTECODE": "1"})))

    return _with_work(context, f"files limited to {limit} bytes", disturb)


def long_path(context: Context) -> dict:
    """A folder for temporary files whose path is longer than that of a socket may be."""
    name = "x" * context.chance.randrange(90, 200)

    def disturb(copy: Copy) -> str:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).mkdir()
            status, output = copy.end(copy.start(variables={"TMPDIR": f"{folder}/{name}"}))
        return _unclear(status, output) or ("failed: " + output[-300:] if status and "error: " not in output else "")

    return _with_work(context, f"TMPDIR of {len(name)} characters", disturb)


# Faults that are judged by themselves.


def source(context: Context) -> dict:
    """A module, a committed table, a notebook or the profile changes: every run that imported or read it is made again.
    Once the change is undone, no run is made again.
    """
    modules = sorted({m.replace(".", "/") for run in context.runs for m in run["module"]})
    modules = [m for m in (f"{m}.py" for m in modules) if (context.copy.folder / m).is_file()]
    read = sorted({f for run in context.runs for f in run["read"] if f.startswith("data/") and "/results/" not in f})
    read = [f for f in read if f.endswith(".csv") and (context.copy.folder / f).is_file()]
    notebooks = [context.copy.name(p) for p in context.copy.files("notebooks/[0-9]*.ipynb")]
    file = context.chance.choice(
        context.chance.choice([modules, modules, read or modules, notebooks, ["notebooks/profiles/smoke.yaml"]])
    )

    def rests_on_it(run: dict) -> bool:
        module = file.removesuffix(".py").replace("/", ".")
        return module in run["module"] or file in run["read"] or run["name"].partition("--")[0] == Path(file).stem

    expected = {run["name"] for run in context.runs if rests_on_it(run)}

    def check(copy: Copy) -> tuple[str, str]:
        path = copy.folder / file
        before = path.read_bytes()
        if path.suffix == ".ipynb":
            content = json.loads(before)
            content["cells"][-1]["source"] = [*content["cells"][-1]["source"], "\n"]
            path.write_text(json.dumps(content))
        else:
            added = {".py": "\n_edited = 1\n", ".yaml": "\nexpected_minutes: 7\n", ".csv": "edited\n"}[path.suffix]
            if path.suffix == ".yaml":
                added = ""
                path.write_bytes(before.replace(b"workers: 2", b"workers: 1"))
            else:
                path.write_bytes(before + added.encode())
        planned, output = _planned(copy)
        path.write_bytes(before)
        after, _ = _planned(copy)
        if planned is None or after is None:
            refused = "error: " in output and "Traceback" not in output
            return ("refused in one line" if refused and after == set() else "unclear"), output[-200:]
        if not expected <= planned:
            return "stale", "not made again: " + ", ".join(sorted(expected - planned))
        return ("wrong", f"still to be made once undone: {sorted(after)}") if after else ("same bytes", "")

    return {"what": f"edited and put back: {file}", "strike": lambda copy: None, "check": check}


def _planned(copy: Copy) -> tuple[set[str] | None, str]:
    """The runs that make would make, as it says with ``--dry-run``."""
    status, output = copy.end(copy.start([*copy.command, "--dry-run"]))
    if status:
        return None, output
    return {line.split()[-1] for line in output.splitlines() if " -m ncrepro run " in line}, output


def hostile_data(context: Context) -> dict:
    """A reader's own data that cannot be used: `rank` or `score` refuse them in one line that names the file, or the
    model named after it.
    """
    how, seed = context.chance.choice(sorted(HOSTILE)), context.chance.random()

    def check(copy: Copy) -> tuple[str, str]:
        with tempfile.TemporaryDirectory() as folder:
            arguments = HOSTILE[how](Path(folder), Random(seed))
            process = copy.start([sys.executable, "-W", "ignore", "-m", "ncrepro", *arguments])
            status, output = copy.end(process, limit_s=min(copy.limit_s, 900))
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        if status == 124:
            return "hangs", ""
        clear = (
            status in (1, 2)
            and len(errors) == 1
            and any(name in errors[0] for name in (folder, ODD))
            and "Traceback" not in output
        )
        return ("refused in one line" if clear else "unclear"), (errors or [output[-200:]])[0].replace(folder, "")

    return {"what": f"{how} for rank", "strike": lambda copy: None, "check": check}


def _images(spoil: Callable[[Path, Random], None]) -> Callable[[Path, Random], list[str]]:
    """A folder of two classes, the images of which ``spoil`` writes, and two networks that need no download."""

    def arguments(folder: Path, chance: Random) -> list[str]:
        import torch
        from torchvision.models import squeezenet1_1

        models = [f"{name}=squeezenet1_1:{folder / name}.pth" for name in ("one", "two")]
        for name in ("one", "two"):
            torch.save(squeezenet1_1().state_dict(), folder / f"{name}.pth")
        for name in ("cats", "dogs"):
            (folder / "photos" / name).mkdir(parents=True)
            for i in range(3):
                spoil(folder / "photos" / name / f"{i}.png", chance)
        return ["rank", str(folder / "photos"), "--models", *models, "--metrics", "ncti"]

    return arguments


def _features(spoil: Callable[[Path, Random], None]) -> Callable[[Path, Random], list[str]]:
    def arguments(folder: Path, chance: Random) -> list[str]:
        spoil(folder / f"{ODD}.npz", chance)
        return ["score", str(folder / f"{ODD}.npz"), "--metrics", "ncti"]

    return arguments


def _eps(path: Path, chance: Random) -> None:
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")


def _weights(content: Callable[[Random], bytes]) -> Callable[[Path, Random], list[str]]:
    def arguments(folder: Path, chance: Random) -> list[str]:
        from PIL import Image

        _images(lambda path, chance: Image.new("RGB", (32, 32), chance.randrange(1 << 24)).save(path))(folder, chance)
        (folder / "weights.pth").write_bytes(content(chance))
        return ["rank", str(folder / "photos"), "--models", f"mine=resnet18:{folder / 'weights.pth'}"]

    return arguments


HOSTILE: dict[str, Callable[[Path, Random], list[str]]] = {
    "a folder of empty images": _images(lambda path, chance: path.write_bytes(b"")),
    "a folder of noise named .png": _images(lambda path, chance: path.write_bytes(chance.randbytes(500))),
    "a folder of EPS named .png": _images(_eps),
    "a folder of pipes": _images(lambda path, chance: os.mkfifo(path)),
    "a folder of links to itself": _images(lambda path, chance: path.symlink_to(".")),
    "a folder of links to nowhere": _images(lambda path, chance: path.symlink_to("nowhere.png")),
    "an empty weights file": _weights(lambda chance: b""),
    "a weights file of text": _weights(lambda chance: b"these are no weights\n" * chance.randrange(1, 99)),
    "a weights file of noise": _weights(lambda chance: chance.randbytes(5000)),
    "features of a torn file": _features(lambda path, chance: path.write_bytes(b"PK\x03\x04" + chance.randbytes(99))),
    "features without labels": _features(lambda path, chance: np.savez(path, features=np.ones((9, 3)))),
    "features of NaN": _features(
        lambda path, chance: np.savez(path, features=np.full((9, 3), np.nan), labels=np.arange(9) % 3)
    ),
    "features of absurd shapes": _features(
        lambda path, chance: np.savez(path, features=np.ones((2,) * chance.randrange(3, 9)), labels=np.arange(9))
    ),
}

FAULTS: dict[str, tuple[Callable[[Context], dict], int]] = {  # kind -> (how one is drawn, its share)
    "damage": (damage, 25),
    "delete": (delete, 15),
    "edit": (edit, 12),
    "folder in the way": (in_the_way, 5),
    "folder not writable": (not_writable, 2),
    "left behind": (leftover, 3),
    "times": (times_only, 1),
    "kill": (kill, 12),
    "kill one process": (kill_one_process, 5),
    "two makes": (two_makes, 3),
    "disk full": (disk_full, 3),
    "long path": (long_path, 1),
    "source": (source, 8),
    "hostile data": (hostile_data, 5),
}


def draw(copy: Copy, seed: int, n: int) -> list[Fault]:
    """The faults that follow from a seed."""
    runs, faults = copy.manifests(), []
    for number in range(n):
        chance = Random(f"{seed} {number}")
        kind = chance.choices(list(FAULTS), [share for _, share in FAULTS.values()])[0]
        faults.append(Fault(number, kind, **FAULTS[kind][0](Context(copy, runs, chance))))
    return faults


# Groups ---------------------------------------------------------------------------------------------------------------

SIZE, DISTURBED = 24, 5  # faults in one group, and how many of them disturb a run


def fits(fault: Fault, group: list[Fault]) -> bool:
    """Can a fault join a group, so that it hides no other fault and no other fault hides it?

    File faults in files of the same run hide each other: if make notices one, the new run repairs both. Two makes at
    once have to succeed, so nothing in their group may be refused.
    """
    if fault.check or any(other.check for other in group) or len(group) == SIZE:
        return False
    if sum(other.disturb is not None for other in [*group, fault]) > DISTURBED:
        return False
    for other in group:
        if {fault.kind, other.kind} & {"two makes"} and (fault.mend or other.mend):
            return False
        if fault.owners & other.owners and not (fault.disturb and other.disturb):
            return False
    return True


def grouped(faults: list[Fault]) -> list[list[Fault]]:
    """Every fault in the first group that it fits into."""
    groups: list[list[Fault]] = []
    for fault in faults:
        place = next((group for group in groups if fits(fault, group)), None)
        place.append(fault) if place is not None else groups.append([fault])
    return groups


class Outcome(NamedTuple):
    outcome: str
    detail: str = ""


Runner = Callable[[list[Fault]], dict[Fault, Outcome]]


def settle(group: list[Fault], run: Runner) -> Iterator[tuple[Fault, Outcome]]:
    """The outcome of every fault of a group; where the group is not right, of each half, until one stands alone.

    If both halves are right, the faults are wrong only together, and all are reported so.
    """
    outcomes = run(group)
    if len(group) == 1 or all(one.outcome in RIGHT for one in outcomes.values()):
        yield from outcomes.items()
        return
    middle = len(group) // 2
    halves = [*settle(group[:middle], run), *settle(group[middle:], run)]
    if all(one.outcome in RIGHT for _, one in halves):
        first = next(one for one in outcomes.values() if one.outcome not in RIGHT)
        halves = [(fault, Outcome("wrong together", f"{first.outcome}: {first.detail}")) for fault, _ in halves]
    yield from halves


def run_group(group: list[Fault], copy: Copy, expected: dict[str, str]) -> dict[Fault, Outcome]:
    """Do all faults of a group to the copy, run make until it neither fails nor refuses, and judge what is there."""
    if group[0].check:
        return {group[0]: Outcome(*group[0].check(copy))}

    def all_are(outcome: str, detail: str) -> dict[Fault, Outcome]:
        return dict.fromkeys(group, Outcome(outcome, detail.strip()))

    for fault in sorted(group, key=lambda fault: (fault.kind == "times", fault.number)):  # the times are touched last
        fault.strike(copy)
    for fault in group:
        if fault.disturb and (unclear := fault.disturb(copy)):
            return all_are("hangs" if unclear == "hangs" else "unclear", f"fault {fault.number}: {unclear}")
    refused: dict[Fault, Outcome] = {}
    while True:
        status, output = copy.make()
        errors = [line for line in output.splitlines() if line.startswith("error: ")]
        if status in (0, 124):
            break
        blocking = {f: line for f in group if f.mend and f not in refused for line in errors if f.is_named(line)}
        if not blocking or not errors or "Traceback" in output:
            return all_are("unclear", (errors or [output[-300:]])[0])
        for fault, line in blocking.items():
            refused[fault] = Outcome("refused in one line", line)
            fault.mend(copy)
    if status == 124:
        return all_are("hangs", output[-200:])
    found = copy.state()
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        return all_are("wrong", ", ".join(f"{name} ({found.get(name, 'lost')[:12]})" for name in wrong)[:300])
    return {fault: refused.get(fault, Outcome("same bytes")) for fault in group}


# The campaign ---------------------------------------------------------------------------------------------------------


def sources() -> str:
    """A digest of what is copied."""
    hasher = hashlib.sha256()
    for part in PARTS:
        path = paths.root() / part
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            if file.is_file() and not set(NOT_COPIED) & set(file.relative_to(paths.root()).parts):
                hasher.update(
                    f"{file.relative_to(paths.root())} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode()
                )
    return hasher.hexdigest()


def undisturbed(folder: Path) -> Copy | None:
    """The copy that every fault begins with; made, and timed, unless it is there and of these sources."""
    done, now = folder / "done.json", sources()
    if not done.exists() or json.loads(done.read_text())["sources"] != now:
        print("the smoke profile runs once, undisturbed", flush=True)
        whole = Copy(folder / "whole")
        (folder / "rows.json").unlink(missing_ok=True)
        whole.take_sources()
        started = time.monotonic()
        status, output = whole.make()
        if status:
            print(output[-2000:], file=sys.stderr)
            return None
        artifacts.write(done, json.dumps({"sources": now, "seconds": time.monotonic() - started}))
    # A group runs what a cold run runs at most, but on a machine that may be busier by then.
    return Copy(folder / "whole", limit_s=max(1200, 10 * json.loads(done.read_text())["seconds"]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument(
        "--n", type=int, default=os.environ.get("FAULTS") or 60, help="faults in all; 340 are a campaign"
    )
    parser.add_argument("--seed", type=int, default=os.environ.get("SEED") or 0, help="other faults, at other times")
    parser.add_argument("--kinds", default=",".join(FAULTS), help="only these, of the faults that are drawn: a,b")
    parser.add_argument("--folder", type=lambda name: Path(name).resolve(), default=paths.root() / "build" / "faults")
    options = parser.parse_args()
    if unknown := set(options.kinds.split(",")) - set(FAULTS):
        parser.error(f"unknown kind {sorted(unknown)[0]!r}: choose of {', '.join(FAULTS)}")
    try:
        schema.whole_number(1, 100_000)("FAULTS", options.n)
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
    whole = undisturbed(options.folder)
    if whole is None:
        return 1
    expected, copy = whole.state(), Copy(options.folder / "copy", whole.limit_s)
    record = options.folder / "rows.json"  # beside the copy that they are about
    rows = json.loads(record.read_text()) if record.exists() else []
    known = {row["fault"] for row in rows if row["seed"] == options.seed}
    faults = [fault for fault in draw(whole, options.seed, options.n) if fault.kind in options.kinds.split(",")]
    left = [fault for fault in faults if fault.number not in known]
    groups, count, begun, runs = grouped(left), 0, time.monotonic(), 1 + max((row["run"] for row in rows), default=0)
    last: dict[Fault, tuple[int, float]] = {}  # the run that a fault was last in, and its seconds

    def run(group: list[Fault]) -> dict[Fault, Outcome]:
        nonlocal runs
        started = time.monotonic()
        if "hostile data" != group[0].kind:
            shutil.rmtree(copy.folder, ignore_errors=True)
            shutil.copytree(whole.folder, copy.folder, symlinks=True)
            copy.environment["PYTHONPATH"] = str(copy.folder)
        elif not copy.folder.exists():
            shutil.copytree(whole.folder, copy.folder, symlinks=True)
        outcomes = run_group(group, copy, expected)
        seconds = time.monotonic() - started
        last.update(dict.fromkeys(group, (runs, round(seconds))))
        bad = [one for one in outcomes.values() if one.outcome not in RIGHT]
        news = f"{bad[0].outcome}: {bad[0].detail}" if bad else "right"
        print(
            f"run {runs}: {len(group)} faults in {seconds:.0f} s, {news} ({count + len(group)} of {len(left)}, "
            f"{(time.monotonic() - begun) / 60:.0f} min)",
            flush=True,
        )
        runs += 1
        return outcomes

    for group in groups:
        for fault, outcome in settle(group, run):
            number, seconds = last[fault]
            rows.append(
                {
                    "seed": options.seed, "fault": fault.number, "kind": fault.kind, "what": fault.what,
                    "outcome": outcome.outcome, "said": outcome.detail.replace(str(options.folder), ""),
                    "run": number, "seconds_of_run": seconds,
                }
            )  # fmt: skip
        count += len(group)
        artifacts.write(record, json.dumps(rows, indent=1))
    frame = pd.DataFrame(rows)
    if frame.empty:
        print("no fault was asked for")
        return 0
    frame = frame.sort_values(["seed", "fault"])
    artifacts.write_table(paths.reference("faults") / "faults.csv", frame)
    print(frame.groupby(["kind", "outcome"]).size().unstack(fill_value=0).to_string())
    return int(not frame["outcome"].isin(RIGHT).all())


if __name__ == "__main__":
    sys.exit(main())
