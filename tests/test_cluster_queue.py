"""Work through a queue: the Slurm file of the README to the letter, with an ``sbatch`` that starts scripts here."""

import os
import re
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import REPOSITORY

from ncrepro.store import cluster, pinned_arithmetic

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.skipif(find_spec("dask_jobqueue") is None, reason="dask-jobqueue is not installed"),
    pytest.mark.filterwarnings("default"),  # those of dask are not ours
    pytest.mark.filterwarnings("ignore:unclosed cluster"),  # it holds a cluster that pytest-xdist cannot print
    pytest.mark.usefixtures("collected"),
]

# As on a site that hands on nothing of the environment that a job is submitted in (--export=NONE).
SBATCH = """#!/bin/bash
cp "$1" "$QUEUE/$$.sh"
env -i PATH="$PATH" PYTHONPATH="$PYTHONPATH" NCREPRO_ROOT="$NCREPRO_ROOT" \\
  setsid bash "$1" > "$QUEUE/$$.log" 2>&1 < /dev/null &
echo $! > "$QUEUE/$$.pid"
sleep 0.3  # the script is deleted when this has ended
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
echo "$1" >> "$QUEUE/cancelled"
kill -- "-$1"
"""
FULL = """#!/bin/bash
echo "sbatch: error: invalid partition specified: gpu" >&2
exit 1
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder that stands for a Slurm cluster: what is submitted is kept there, and runs on this machine."""
    monkeypatch.setenv("QUEUE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY}:{REPOSITORY / 'tests'}")
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path / "root"))
    put(tmp_path, sbatch=SBATCH, scancel=SCANCEL)
    yield tmp_path
    cluster.leave()
    for file in tmp_path.glob("*.pid"):
        try:
            os.killpg(int(file.read_text()), 9)
        except ProcessLookupError:
            pass  # as it should be


def put(folder: Path, **commands: str) -> None:
    for name, script in commands.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)


def describe(monkeypatch, folder, **content):
    (folder / "cluster.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("NCREPRO_CLUSTER", str(folder / "cluster.yaml"))


def of_readme() -> dict:
    """The file of the README; what this machine has not is its Python, and room for sixteen."""
    (block,) = re.findall("```yaml\n([^`]*SLURMCluster[^`]*)```", (REPOSITORY / "README.md").read_text())
    content = yaml.safe_load(block)
    return content | {"workers": 2, "options": content["options"] | {"python": sys.executable}}


def where(i: int) -> tuple[int, dict]:
    return os.getpid(), dict(os.environ)


def test_ctrl_c_means_what_it_did(queue, monkeypatch):
    sys.modules.pop("dask_jobqueue.runner", None)
    sys.modules.pop("dask_jobqueue", None)
    before = signal.getsignal(signal.SIGINT)
    assert cluster._located("dask_jobqueue.SLURMCluster").__name__ == "SLURMCluster"
    assert "dask_jobqueue.runner" in sys.modules and signal.getsignal(signal.SIGINT) is before


def run(items=range(6), **options):
    work = lambda i: cluster.Work(f"work {i}", **options)  # noqa: E731
    return [done.result for _, done in cluster.side_by_side(where, items, work)]


def test_the_file_of_the_readme_starts_workers_through_slurm_and_ends_them(queue, monkeypatch):
    describe(monkeypatch, queue, **of_readme())
    cluster.client().wait_for_workers(2, timeout=120)
    found = run(range(12), gpu=True)
    assert len({process for process, _ in found}) == 2
    for _, environment in found:
        assert {name: environment.get(name) for name in pinned_arithmetic.PINS} == pinned_arithmetic.PINS
    scripts = [file.read_text() for file in queue.glob("*.sh")]
    assert len(scripts) == 2
    for script in scripts:
        for line in ("-p gpu", "--cpus-per-task=1", "--mem=30G", "-t 24:00:00", "--gres=gpu:1"):
            assert f"#SBATCH {line}\n" in script
    cluster.leave()
    assert sorted((queue / "cancelled").read_text().split()) == sorted(
        file.read_text().strip() for file in queue.glob("*.pid")
    )


def test_workers_that_no_queue_starts_have_this_environment(queue, monkeypatch):
    options = {"cores": 1, "memory": "1GB", "python": sys.executable, "scheduler_options": {"dashboard_address": ":0"}}
    describe(monkeypatch, queue, cluster="dask_jobqueue.local.LocalCluster", options=options, workers=1)
    assert all(environment["MKL_CBWR"] == "COMPATIBLE" for _, environment in run(range(2)))


def test_a_queue_that_takes_no_jobs_says_why(queue, monkeypatch):
    put(queue, sbatch=FULL)
    describe(monkeypatch, queue, **of_readme())
    with pytest.raises(OSError, match="SLURMCluster starts no workers: .*invalid partition specified: gpu"):
        cluster.client()


def test_a_machine_without_the_queue_is_one_line(queue, monkeypatch):
    (queue / "sbatch").unlink()
    describe(monkeypatch, queue, **of_readme())
    with pytest.raises(OSError, match="SLURMCluster starts no workers: .*'sbatch'"):
        cluster.client()


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"que": "gpu"}, "options: .*unexpected keyword argument 'que'"),
        ({}, "options: You must specify how much cores and memory"),
        (["queue"], "options are .*'queue'.*; they are names with values"),
    ],
)
def test_options_that_mean_nothing_are_refused(queue, monkeypatch, options, expected):
    if options and isinstance(options, dict):
        options |= {"cores": 1, "memory": "1GB"}
    describe(monkeypatch, queue, cluster="dask_jobqueue.SLURMCluster", options=options)
    with pytest.raises(ValueError, match=f"cluster.yaml: {expected}"):
        cluster.client()
