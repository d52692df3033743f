"""Jobs: each makes one artefact, several side by side in processes of their own.

What is already made and valid is not made again, so an interrupted run goes on where it stopped. A process imports
what its jobs need and no more: one that only scores does not wait for torch.
"""

import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
from tqdm import tqdm

from . import artifacts, paths
from .artifacts import Arrays


class Job(NamedTuple):
    """One artefact to be made: ``compute()`` gives its arrays, ``spec`` says from what."""

    label: str
    path: Path
    spec: dict
    compute: Callable[[], Arrays]


def run(title: str, jobs: list[Job], workers: int, keep: Callable[[Arrays], Arrays] = lambda arrays: arrays) -> list[Arrays]:
    """Make what is missing on ``workers`` processes of one thread each, and return what to ``keep`` of every job's arrays."""
    missing = [job for job in jobs if artifacts.load(job.path, job.spec) is None]
    with tqdm(total=len(jobs), initial=len(jobs) - len(missing), desc=title, file=sys.stdout, mininterval=1) as bar:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1), warnings.catch_warnings():
            # A process whose memory has grown is replaced by a new one; nothing is lost, so nothing need be said.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
            parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered")
            for label in parallel(joblib.delayed(_make)(job) for job in missing):
                bar.set_postfix_str(label, refresh=False)
                bar.update()
    return [keep(require(job.path, job.spec, job.label, "this cell")) for job in jobs]


def require(path: Path, spec: dict, what: str, notebook: str) -> Arrays:
    """An artefact that another job has made; if it is missing or torn, the error names the notebook that makes it."""
    arrays = artifacts.load(path, spec)
    if arrays is None:
        raise FileNotFoundError(f"no valid {what} in {paths.relative(path.parent)}: run {notebook} first")
    return arrays


def from_pretrained(step: Callable[[dict, dict, Arrays], Arrays], spec: dict, origin: Path, origin_spec: dict) -> Arrays:
    """What ``step(spec, origin_spec, arrays)`` makes of a pre-trained model's arrays."""
    return step(spec, origin_spec, require(origin, origin_spec, origin.stem, "10_train_pool"))


def _make(job: Job) -> str:
    started = time.process_time()
    arrays = job.compute()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    arrays |= {"seconds": np.array(time.process_time() - started), "peak_mb": np.array(peak_mb)}
    artifacts.save(job.path, arrays, job.spec)
    return job.label
