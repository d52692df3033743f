"""What a run survives: ``python -m bench.faults`` damages, deletes, edits, kills and crowds runs of the smoke profile
in a copy.

After every fault ``make all`` runs again in the copy. Right is either the bytes of an undisturbed run in every table
and figure, or a refusal in one line without a traceback, after which the mended copy gives those bytes. The faults
follow from ``--seed``; a run that was stopped goes on where it was, and the table goes to
``data/reference/faults/faults.csv``.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pandas as pd

from ncrepro.store import artifacts, paths

LIMIT_S = 900  # a run that takes longer hangs
TIMED = ("seconds_", "ncti_fig4", "cost")  # what holds times differs from run to run


class Copy:
    """A copy of the sources in which the smoke profile has run."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(folder)}
        self.command = ["make", "all", "PROFILE=smoke", f"PYTHON={sys.executable}"]

    def make(self, **options) -> tuple[int, str]:
        """Exit status and output of ``make all``; 124 if it hangs."""
        process = self.start(**options)
        try:
            output, _ = process.communicate(timeout=LIMIT_S)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return 124, process.communicate()[0]

    def start(self, **options) -> subprocess.Popen:
        return subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            **options,
        )

    def outputs(self) -> dict[str, str]:
        """Every table and figure of the profile, and a digest of its bytes."""
        files = [
            p
            for place in ("data/results/smoke", "figures/smoke")
            for p in sorted((self.folder / place).rglob("*"))
            if p.is_file()
        ]
        return {
            str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
            if not p.name.startswith(TIMED)
        }

    def files(self, *patterns: str) -> list[Path]:
        return [p for pattern in patterns for p in sorted(self.folder.glob(pattern)) if p.is_file()]


# Faults: (copy, random numbers) -> what was done; they may run make themselves ----------------------------------------

KEPT = {
    "a table": ("data/results/smoke/*/*.csv",),
    "a figure": ("figures/smoke/*.p*",),
    "an executed notebook": ("build/smoke/*.ipynb",),
    "a manifest": ("build/smoke/*.json", "build/smoke/figures/*.json"),
    "an artefact": ("data/cache/smoke/*/*.safetensors",),
    "a data set": ("data/cache/datasets/*",),
    "a register": ("data/cache/*.json", "build/smoke/rules.mk"),
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


def damage(copy: Copy, chance: Random) -> str:
    kind, how = chance.choice(list(KEPT)), chance.choice(list(DAMAGE))
    path = chance.choice(copy.files(*KEPT[kind]))
    path.write_bytes(DAMAGE[how](path.read_bytes(), chance))
    return f"{kind} {how}: {path.relative_to(copy.folder)}"


def delete(copy: Copy, chance: Random) -> str:
    kind = chance.choice([*KEPT, "a folder"])
    if kind == "a folder":
        folders = [p for p in copy.folder.glob("data/*/smoke/*") if p.is_dir()]
        folders += [
            copy.folder / place
            for place in ("data/results", "data/cache", "figures/smoke", "build/smoke", "data/cache/datasets")
        ]
        path = chance.choice([p for p in folders if p.is_dir()])
        shutil.rmtree(path)
    else:
        path = chance.choice(copy.files(*KEPT[kind]))
        path.unlink()
    return f"{kind} deleted: {path.relative_to(copy.folder)}"


def in_the_way(copy: Copy, chance: Random) -> str:
    path = chance.choice(
        copy.files(*KEPT[chance.choice(["a table", "a figure", "an artefact", "an executed notebook"])])
    )
    path.unlink()
    path.mkdir()
    return f"a folder in the place of {path.relative_to(copy.folder)}"


def edit(copy: Copy, chance: Random) -> str:
    path = chance.choice(copy.files(*KEPT["a table"]))
    lines = path.read_text().splitlines()
    row = chance.randrange(1, len(lines)) if len(lines) > 1 else 0
    how = chance.choice(["a row doubled", "a row lost", "a number changed", "rows in another order"])
    if how == "a row doubled":
        lines.insert(row, lines[row])
    elif how == "a row lost":
        del lines[row]
    elif how == "a number changed":
        lines[row] = lines[row][:-1] + ("7" if lines[row][-1:] != "7" else "3")
    else:
        lines[1:] = lines[:0:-1]
    path.write_text("\n".join(lines) + "\n")
    return f"{how}: {path.relative_to(copy.folder)}"


def times_only(copy: Copy, chance: Random) -> str:
    then = chance.choice([1, time.time() + 1e6])
    for path in copy.folder.rglob("*"):
        os.utime(path, (then, then))
    return "every file's time changed"


def _something_to_do(copy: Copy, chance: Random) -> str:
    pools = [p for p in (copy.folder / "data/results/smoke").iterdir() if p.is_dir()]
    chosen = chance.choice(pools)
    shutil.rmtree(chosen)
    for path in copy.files(
        f"data/cache/smoke/*/*{chance.choice(['signs', 'digits', 'textures', 'street', 'parameters'])}*"
    ):
        path.unlink()
    return chosen.name


def kill(copy: Copy, chance: Random) -> str:
    what, after = _something_to_do(copy, chance), chance.uniform(1, 40)
    number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    process = copy.start()
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number)
        process.communicate()
    return f"{number.name} after {after:.0f} s, while {what} was made again"


def kill_one_process(copy: Copy, chance: Random) -> str:
    """A worker or a kernel, as the system does when memory runs out; make then fails in one line."""
    what = _something_to_do(copy, chance)
    process = copy.start()
    after = chance.uniform(5, 30)
    try:
        process.communicate(timeout=after)
        return f"nothing was left to kill after {after:.0f} s"
    except subprocess.TimeoutExpired:
        listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout.splitlines()
        kernels = [
            int(line.split()[0])
            for line in listed
            if "ipykernel" in line and _is_below(int(line.split()[0]), process.pid)
        ]
        if kernels:
            os.kill(chance.choice(kernels), signal.SIGKILL)
        output, _ = process.communicate(timeout=LIMIT_S)
        clear = process.returncode == 0 or ("error: " in output and "Traceback" not in output)
        return f"a kernel or worker killed while {what} was made again" + ("" if clear else " (UNCLEAR)")


def _is_below(pid: int, above: int) -> bool:
    while pid > 1:
        if pid == above:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def crowd(copy: Copy, chance: Random) -> str:
    what = _something_to_do(copy, chance)
    both = [copy.start() for _ in range(2)]
    for process in both:
        process.communicate(timeout=LIMIT_S)
    return f"two makes at once, of {what}" + ("" if [p.returncode for p in both] == [0, 0] else " (ONE FAILED)")


def disk_full(copy: Copy, chance: Random) -> str:
    """No file may grow beyond a few kilobytes, as if the disk were full; make fails, and no half file stays."""
    import resource

    what, limit = _something_to_do(copy, chance), chance.choice([0, 1_000, 20_000])
    signal_ignored = (
        "import signal, os, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    narrow = Copy(copy.folder)
    narrow.command = [sys.executable, "-c", signal_ignored, *copy.command]
    status, output = narrow.make(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    clear = status == 0 or "Traceback" not in output
    return f"files limited to {limit} bytes while {what} was made again" + ("" if clear else " (UNCLEAR)")


FAULTS = {  # name -> (fault, its share of all)
    "damage": (damage, 30),
    "delete": (delete, 20),
    "edit": (edit, 15),
    "folder in the way": (in_the_way, 5),
    "times": (times_only, 2),
    "kill": (kill, 15),
    "kill one process": (kill_one_process, 5),
    "two makes": (crowd, 4),
    "disk full": (disk_full, 4),
}


def judge(copy: Copy, expected: dict[str, str]) -> tuple[str, str]:
    """Outcome of ``make all`` after a fault, and what it said."""
    status, output = copy.make()
    said = [line for line in output.splitlines() if line.startswith("error: ")]
    if status == 124:
        return "hangs", ""
    if status:
        return ("refused in one line" if said and "Traceback" not in output else "unclear"), (said or [output[-200:]])[
            0
        ]
    found = copy.outputs()
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    return ("wrong", ", ".join(wrong)[:200]) if wrong else ("same bytes", "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument(
        "--n", type=int, default=os.environ.get("FAULTS") or 60, help="faults in all (340 take some hours)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=paths.root() / "build" / "faults")
    options = parser.parse_args()
    whole, copy = Copy(options.folder / "whole"), Copy(options.folder / "copy")
    if not (whole.folder / "done").exists():
        shutil.rmtree(whole.folder, ignore_errors=True)
        ignored = shutil.ignore_patterns("cache", "results", "__pycache__", ".ipynb_checkpoints", "smoke")
        for part in ("ncrepro", "bench", "notebooks", "data", "Makefile", "requirements.txt"):
            source = paths.root() / part
            (
                shutil.copytree(source, whole.folder / part, ignore=ignored)
                if source.is_dir()
                else shutil.copy(source, whole.folder / part)
            )
        status, output = whole.make()
        if status:
            print(output[-2000:], file=sys.stderr)
            return 1
        (whole.folder / "done").touch()
    expected = whole.outputs()
    table = paths.reference("faults") / "faults.csv"
    rows = pd.read_csv(table).to_dict("records") if table.exists() else []
    for i in range(options.n):
        if any(row["seed"] == options.seed and row["fault"] == i for row in rows):
            continue
        chance = Random(f"{options.seed} {i}")
        fault = chance.choices([f for f, _ in FAULTS.values()], [share for _, share in FAULTS.values()])[0]
        shutil.rmtree(copy.folder, ignore_errors=True)
        shutil.copytree(whole.folder, copy.folder, symlinks=True)
        started = time.monotonic()
        done = fault(copy, chance)
        outcome, said = judge(copy, expected)
        if outcome == "refused in one line" and fault is in_the_way:  # nothing else may be mended by hand
            for path in [p for p in copy.folder.glob("*/*/**/*.*") if p.is_dir() and not any(p.iterdir())]:
                path.rmdir()
            again, said_again = judge(copy, expected)
            outcome, said = (outcome, said) if again == "same bytes" else (again, said_again)
        unclear = "UNCLEAR" in done or "FAILED" in done
        rows.append(
            {
                "seed": options.seed,
                "fault": i,
                "kind": fault.__name__,
                "what": done,
                "outcome": "unclear" if unclear else outcome,
                "said": said,
                "seconds": round(time.monotonic() - started),
            }
        )
        print(json.dumps(rows[-1]), flush=True)
        artifacts.write_table(table, pd.DataFrame(rows))
    frame = pd.DataFrame(rows)
    print(frame.groupby(["kind", "outcome"]).size().unstack(fill_value=0).to_string())
    return int(frame["outcome"].isin(["wrong", "hangs", "unclear"]).any())


if __name__ == "__main__":
    sys.exit(main())
