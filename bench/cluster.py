"""What a cluster costs and gives: the time to start, the overhead of a job, and the schedule of the paper's profile."""

import os
import time
from collections.abc import Iterator

import pandas as pd

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


def schedule(profile: str) -> Iterator[dict]:
    """How long a profile takes on so many GPUs by its estimates, and what limits it; nothing is run."""
    pools = [plan.work(Experiment(pool, profile)).assign(pool=pool) for pool in profiles.load(profile).pools]
    yield from plan.schedule(pd.concat(pools), plan.GPUS).to_dict("records")
