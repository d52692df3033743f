"""What a cluster costs and gives: the time to start, the overhead of a job, what a second worker saves, and the
schedule of the paper's profile.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from bench.faults import TIMED, Copy
from ncrepro.commands import plan
from ncrepro.lab import profiles
from ncrepro.lab.experiment import Experiment
from ncrepro.store import cluster


def nothing(i: int) -> int:
    """An empty job."""
    return i


def measure(n_jobs: int) -> Iterator[dict]:
    """Two workers of this machine: seconds until both are there, and milliseconds that an empty job takes of them."""
    before = os.environ.get("NCREPRO_CLUSTER")
    os.environ["NCREPRO_CLUSTER"] = "local:2"
    try:
        started = time.perf_counter()
        cluster.client().wait_for_workers(2)
        yield {"what": "start a scheduler and two workers", "unit": "s", "measured": time.perf_counter() - started}
        list(cluster.side_by_side(nothing, range(2)))  # they import what they need
        started = time.perf_counter()
        done = list(cluster.side_by_side(nothing, range(n_jobs)))
        spent = 1000 * (time.perf_counter() - started) / len(done)
        yield {"what": f"an empty job, of {n_jobs}", "unit": "ms", "measured": spent}
    finally:
        cluster.leave()
        del os.environ["NCREPRO_CLUSTER"]
        if before is not None:
            os.environ["NCREPRO_CLUSTER"] = before


def speed_up(profile: str, most: int) -> Iterator[dict]:
    """A whole profile, cold, without a cluster and with up to so many workers of this machine; notebooks start and draw
    as ever.

    Raises
    ------
    RuntimeError
        If a run fails, or its tables are not those without a cluster.
    """
    expected = None
    for n in range(most + 1):
        with tempfile.TemporaryDirectory() as folder:
            copy = Copy(Path(folder) / "copy", profile=profile)
            copy.take_sources()
            started = time.perf_counter()
            status, output = copy.make(variables={"NCREPRO_CLUSTER": f"local:{n}"} if n else {})
            spent = time.perf_counter() - started
            if status:
                raise RuntimeError(output[-1000:])
            tables = {
                copy.name(path): path.read_bytes()
                for path in copy.files(f"data/results/{profile}/*/*.csv")
                if not path.name.startswith(TIMED)
            }
        expected = expected or tables
        if tables != expected:
            raise RuntimeError(f"with {n} workers the tables of {profile} are others")
        yield {"profile": profile, "workers": n, "seconds": spent}


def schedule(profile: str) -> Iterator[dict]:
    """How long a profile takes on so many GPUs by its estimates, and what limits it; nothing is run."""
    pools = [plan.jobs_of_pool(Experiment(pool, profile)).assign(pool=pool) for pool in profiles.load(profile).pools]
    yield from plan.schedule(pd.concat(pools), plan.GPUS).to_dict("records")
