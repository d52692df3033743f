"""Jobs: each makes one artefact, several side by side in processes of their own.

What is already made and valid is not made again, so an interrupted run goes on where it stopped.
"""

import ctypes
import multiprocessing
import os
import resource
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from . import artifacts, cluster, cold_notebooks, paths, pinned_arithmetic, progress
from .artifacts import Arrays
from .cluster import Work

Item, Result = TypeVar("Item"), TypeVar("Result")

# A copy of this process need not import anything again; but on macOS and with a GPU's driver copies do not work.
START = "fork" if sys.platform == "linux" and not Path("/dev/nvidiactl").exists() else "spawn"


class Job(NamedTuple):
    """One artefact to be made: ``compute()`` gives its arrays, ``spec`` says from what, ``asks()`` what it needs."""

    label: str
    path: Path
    spec: dict
    compute: Callable[[], Arrays]
    asks: Callable[[], Work] = Work  # only a cluster wants to know


def run(
    title: str, jobs: list[Job], workers: int, keep: Callable[[Arrays], Arrays] = lambda arrays: arrays
) -> list[Arrays]:
    """Make what is missing, and return what to ``keep`` of every job's arrays.

    It is made on ``workers`` processes of one thread each or, if ``NCREPRO_CLUSTER`` names one, on a cluster.
    """
    missing = [job for job in jobs if artifacts.load(job.path, job.spec) is None]
    made = _on_cluster(missing) if cluster.address() else side_by_side(_make, map(_alone, missing), workers)
    with progress.bar(title, len(jobs), done=len(jobs) - len(missing)) as advance:
        for label in made:
            advance(note=label)
    return [keep(require(job.path, job.spec, job.label)) for job in jobs]


def _on_cluster(jobs: list[Job]) -> Iterator[str]:
    """Make ``jobs`` on the cluster, and say in the end what each host did."""
    seconds, number = Counter(), Counter()
    asks = {job.path: job.asks()._replace(label=job.label) for job in jobs}
    made = cluster.side_by_side(_make, map(_alone, jobs), lambda job: asks[job.path], lambda job: (job.path,))
    for job, done in made:
        seconds[done.host] += done.seconds
        number[done.host] += 1
        yield f"{job.label} on {done.host}"
    for host in sorted(number):
        print(f"{host}: {number[host]} jobs, {seconds[host] / 3600:.3f} processor hours")


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``function(item)`` of every item, on ``workers`` processes of one thread each, in the order in which they end.

    An error ends those that have not begun.

    Raises
    ------
    ChildProcessError
        If a process is killed.
    """
    processes = ProcessPoolExecutor(workers, multiprocessing.get_context(START), _begin)
    try:
        with warnings.catch_warnings():
            # which a kernel always is
            warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
            futures = [processes.submit(function, item) for item in items]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool:
        raise ChildProcessError(
            "a worker process was killed, most often for lack of memory; what was finished is kept: free some "
            "memory, or set `workers: 1` in the profile, and run this again"
        ) from None
    finally:
        processes.shutdown(cancel_futures=True)


def _begin() -> None:
    """Set up a new process: one thread, also for libraries that are imported later; it ends when its parent ends."""
    _keep_memory()
    os.environ.update(pinned_arithmetic.ONE_THREAD)
    threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    threading.Thread(target=lambda: (multiprocessing.parent_process().join(), os._exit(1)), daemon=True).start()


def _keep_memory() -> None:
    """Keep freed memory in the process, if the C library is glibc. A training needs the same memory again at each step,
    and to get it from the kernel page by page takes up to a tenth of the time.
    """
    trim_threshold, mmap_threshold = -1, -3  # glibc's numbers for what `mallopt` sets
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):
        set_option(mmap_threshold, 1 << 25)  # the most that every version takes
        set_option(trim_threshold, 1 << 30)


def require(path: Path, spec: dict, what: str) -> Arrays:
    """An artefact that another job has made; if it is missing or torn, the error says what makes it."""
    arrays = artifacts.load(path, spec)
    if arrays is None:
        raise cold_notebooks.missing(
            f"no valid {what} in {paths.relative(path.parent)}", profile=path.parent.parent.name
        )
    return arrays


def from_pretrained(step: Callable[..., Arrays], spec: dict, *origins: tuple[Path, dict]) -> Arrays:
    """What ``step(spec, origin_spec, arrays, ...)`` makes of pre-trained models, each a path and a spec."""
    return step(spec, *(part for path, of in origins for part in (of, require(path, of, path.stem))))


def _alone(job: Job) -> Job:
    """A job as it goes to another process: what it asks for is known by then, and may hold more than can go there."""
    return job._replace(asks=Work)


def _make(job: Job) -> str:
    started = time.process_time()
    arrays = job.compute()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    arrays |= {"seconds": np.array(time.process_time() - started), "peak_mb": np.array(peak_mb)}
    artifacts.save(job.path, arrays, job.spec)
    return job.label
