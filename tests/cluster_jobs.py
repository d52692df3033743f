"""What the workers of `test_cluster` do. A worker imports this file, and so nothing that takes long to import."""

import os
import signal
import time
from errno import ENOSPC
from functools import partial

import numpy as np

from ncrepro.store import jobs, paths


def note(log, what):
    with open(log, "a") as file:
        file.write(f"{what}\n")


def square(log, i):
    note(log, i)
    time.sleep(0.05)
    return i * i


def once_for_ever(log, i):
    """The first time, 0 never ends."""
    first = not log.exists() or f"{i}\n" not in log.read_text()
    note(log, i)
    time.sleep(600 if first and i == 0 else 0.05)
    return os.getpid()


def on_a_full_disk(folder, i):
    """The process that comes first has a full disk."""
    try:
        (folder / "first").mkdir()
        (folder / f"full-{os.getpid()}").touch()
    except FileExistsError:
        pass
    if (folder / f"full-{os.getpid()}").exists():
        raise OSError(ENOSPC, "No space left on device")
    time.sleep(0.2)
    return i


def fatal(i):
    os.kill(os.getpid(), signal.SIGKILL)


def make_numbers(value, size=4):
    return {"value": np.full(size, value)}


def numbers_job(i, size):
    return jobs.Job(
        f"{i}", paths.cache("smoke") / f"a/{i}.safetensors", {"i": i}, partial(make_numbers, float(i), size)
    )


def add_one(path, spec):
    return {"value": jobs.require(path, spec, "number")["value"] + 1}


def lacks(what):
    return what


def counted(log, i):
    note(log, i)
    time.sleep(0.2)
    return {"value": np.array(i)}
