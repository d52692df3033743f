"""Work on a Dask cluster: the same tables, and what becomes of it when machines fail."""

import importlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from cluster_jobs import add_one, fatal, lacks, make_numbers, on_a_full_disk, once_for_ever, square
from conftest import REPOSITORY

from ncrepro import rank
from ncrepro.commands import plan
from ncrepro.lab.experiment import Experiment
from ncrepro.store import cluster, jobs, paths

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.filterwarnings("default"),  # those of dask are not ours
    pytest.mark.usefixtures("collected"),  # nor are the connections that it leaves to the collector
]


# A scheduler and workers in processes of their own --------------------------------------------------------------------


class Cluster:
    """A scheduler at a port, and machines that work for it, each started as its owner would."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.scheduler = self.schedule()

    def start(self, *command, **environment):
        path = os.pathsep.join([environment.pop("code", str(REPOSITORY)), str(REPOSITORY / "tests")])
        given = os.environ | {"PYTHONPATH": path} | environment
        with open(self.folder / f"{len(self.processes)}.log", "w") as log:
            process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", *command],
                env=given,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def schedule(self):
        port = self.address.rpartition(":")[2]
        return self.start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")

    def work(self, number=1, **environment):
        return self.start("ncrepro", "worker", self.address, "--number", str(number), **environment)

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A scheduler, and two workers that see the same folder."""
    made = Cluster(tmp_path_factory.mktemp("two"))
    folder = tmp_path_factory.mktemp("shared")
    shutil.copytree(REPOSITORY / "notebooks" / "profiles", folder / "notebooks" / "profiles")
    made.root = folder
    made.work(2, NCREPRO_ROOT=str(folder))
    yield made
    made.end()


@pytest.fixture
def shared(two, monkeypatch, tmp_path):
    """This process as a client of `two`; a new log."""
    monkeypatch.setenv("NCREPRO_ROOT", str(two.root))
    monkeypatch.setenv("NCREPRO_CLUSTER", two.address)
    _until(lambda: len(_workers()) == 2)  # a test before may have killed one
    cluster.client().run(importlib.import_module, "cluster_jobs")  # so that no test waits for it
    yield tmp_path / "log"
    cluster.leave()


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """A cluster of one's own; ``machines.work()`` adds a machine."""
    shutil.copytree(REPOSITORY / "notebooks" / "profiles", tmp_path / "root/notebooks/profiles")
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path / "root"))
    made = Cluster(tmp_path)
    monkeypatch.setenv("NCREPRO_CLUSTER", made.address)
    yield made
    cluster.leave()
    made.end()


def results(function, items, **options):
    return {item: done.result for item, done in cluster.side_by_side(function, items, **options)}


def times(log):
    return Counter(log.read_text().split())


# The same, elsewhere --------------------------------------------------------------------------------------------------


def test_everything_is_done_once_and_by_both(shared):
    found = dict(cluster.side_by_side(partial(square, shared), range(20)))
    assert {i: done.result for i, done in found.items()} == {i: i * i for i in range(20)}
    assert set(times(shared).values()) == {1}


def test_the_longest_comes_first(shared):
    works = {0: 0.1, 1: 0.3, 2: 0.2}
    list(cluster.side_by_side(partial(square, shared), works, lambda i: cluster.Work(str(i), hours=works[i])))
    assert shared.read_text().split()[-1] == "0"  # two begin at once


def test_an_error_names_the_host_and_ends_the_rest(shared):
    with pytest.raises(TypeError) as caught:
        results(partial(square, shared), ["no", *range(200)])
    assert f"on {os.uname().nodename}" in caught.value.__notes__
    assert len(times(shared)) < 150


def test_a_host_that_lacks_data_is_named_before_anything_begins(shared):
    with pytest.raises(FileNotFoundError, match="lacks what this work reads: cifar10: not in its place"):
        work = cluster.Work(data="cifar10", lacks=partial(lacks, "cifar10: not in its place"))
        results(partial(square, shared), range(3), asks=lambda i: work)
    assert not shared.exists()


def test_work_that_no_worker_has_room_for_is_refused(shared):
    with pytest.raises(MemoryError, match="big needs about 999999 GB, more than any worker has"):
        results(partial(square, shared), [1], asks=lambda i: cluster.Work("big", gigabytes=999_999))


def make_tables():
    study = Experiment("time_series", "smoke")
    for verb in ("pretrain", "finetune", "extract", "score", "correlate"):
        getattr(study, verb)()


def tables(root):
    found = (root / "data/results/smoke/time_series").glob("*.csv")
    return {file.name: file.read_bytes() for file in found if not file.name.startswith("seconds_")}


def test_machines_that_share_nothing_give_the_same_tables(machines, tmp_path):
    for root in ("there", "alone"):
        shutil.copytree(REPOSITORY / "notebooks" / "profiles", tmp_path / root / "notebooks/profiles")
    with pytest.MonkeyPatch.context() as alone:  # before this process is a client, whose threads no copy would have
        alone.setenv("NCREPRO_ROOT", str(tmp_path / "alone"))
        alone.delenv("NCREPRO_CLUSTER")
        make_tables()
    machines.work(2, NCREPRO_ROOT=str(tmp_path / "there"))
    make_tables()
    assert list((tmp_path / "there/data/cache/smoke/pretrained").iterdir())  # they were trained there
    found = tables(tmp_path / "root")
    assert len(found) == 5 and found == tables(tmp_path / "alone")


def test_what_a_job_reads_travels_with_it(machines, tmp_path):
    machines.work(1, NCREPRO_ROOT=str(tmp_path / "there"))
    first = jobs.Job("one", paths.cache("smoke") / "a/one.safetensors", {"of": 1}, partial(make_numbers, 1.0))
    compute = partial(add_one, first.path, first.spec)
    work = partial(cluster.Work, reads=(first.path,))
    second = jobs.Job("two", paths.cache("smoke") / "a/two.safetensors", {"of": 2}, compute, work)
    jobs.run("work", [first], 1)
    shutil.rmtree(tmp_path / "there")
    assert jobs.run("work", [second], 1)[0]["value"].tolist() == [2.0] * 4
    assert (tmp_path / "there/data/cache/smoke/a/one.safetensors").read_bytes() == first.path.read_bytes()


def test_rank_of_twenty_models_with_a_worker_killed(two, shared, monkeypatch):
    rng = np.random.default_rng(0)
    y = np.repeat(range(4), 30)
    models = {f"model{i}": rng.normal(size=(120, 16)) + i / 10 * np.eye(4, 16)[y] for i in range(20)}
    first = min(_workers())
    threading.Timer(1, os.kill, (first, signal.SIGKILL)).start()
    table = rank(models, labels=y, n_bootstrap=50, progress=False)
    assert first not in _workers()
    monkeypatch.delenv("NCREPRO_CLUSTER")
    expected = rank(models, labels=y, n_bootstrap=50, progress=False)
    measured = ["seconds", "peak_mb"]
    assert table.drop(columns=measured).equals(expected.drop(columns=measured))


# Faults ---------------------------------------------------------------------------------------------------------------


def test_only_what_a_killed_worker_was_doing_is_done_again(shared):
    killed = []
    for _, done in cluster.side_by_side(partial(once_for_ever, shared), range(12)):
        if not killed and times(shared)["0"]:  # it runs on the other worker
            doing = {pid for pid in _workers() if pid != done.result}
            killed = [os.kill(pid, signal.SIGKILL) for pid in doing]
    assert killed
    again = times(shared)
    assert again.pop("0") == 2 and set(again.values()) == {1} and len(again) == 11


def _workers():
    """The processes in which the workers of this machine compute."""
    return set(cluster.client().run(os.getpid).values())


def test_what_kills_every_worker_is_an_error_in_words(shared, monkeypatch):
    with pytest.raises(ChildProcessError, match="3 workers died while they did 0, most often for lack of memory"):
        results(fatal, [0])


def test_what_hangs_is_done_by_another(shared, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "SLOW_S", 30)  # a new worker imports first, on a busy machine for long
    monkeypatch.setattr(cluster, "SLOW", 1)
    assert set(results(partial(once_for_ever, shared), range(6))) == set(range(6))
    assert times(shared)["0"] == 2 and "0 hangs on" in capsys.readouterr().out


def test_a_full_disk_sends_the_work_to_others(shared, tmp_path, capsys):
    assert results(partial(on_a_full_disk, tmp_path), range(5)) == {i: i for i in range(5)}
    assert "No space left on device; its work goes to others" in capsys.readouterr().out


def test_a_scheduler_may_be_away(machines, tmp_path):
    machines.work(1)
    log, killed = tmp_path / "log", False
    for _ in cluster.side_by_side(partial(square, log), range(40)):
        if not killed:
            os.killpg(machines.scheduler.pid, signal.SIGKILL)
            machines.scheduler.wait()
            machines.schedule()
            killed = True
    assert len(times(log)) == 40 and sum(times(log).values()) <= 42


def test_a_client_that_was_killed_goes_on_where_it_was(two, shared, tmp_path):
    code = f"""
import sys
from functools import partial
from ncrepro.store import jobs, paths
import cluster_jobs
def main():
    made = [jobs.Job(f"job{{i}}", paths.cache("smoke") / "killed" / f"{{i}}.safetensors", {{"i": i}},
                     partial(cluster_jobs.counted, {str(shared)!r}, i)) for i in range(30)]
    print(len(jobs.run("work", made, 1)))
if __name__ == "__main__":
    main()
"""
    (tmp_path / "client.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    command = [sys.executable, "-W", "ignore", str(tmp_path / "client.py")]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _until(lambda: shared.exists() and len(times(shared)) > 5)
    first.kill()
    first.wait()
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120).stdout
    assert output.endswith("30\n")
    assert len(times(shared)) == 30 and sum(times(shared).values()) <= 32  # two were running


def _until(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it did not come to that within a minute")


def test_a_worker_with_other_code_is_refused_by_name(machines, tmp_path):
    shutil.copytree(REPOSITORY / "ncrepro", tmp_path / "other/ncrepro", ignore=shutil.ignore_patterns("__pycache__"))
    with open(tmp_path / "other/ncrepro/__init__.py", "a") as file:
        file.write("# another version\n")
    machines.work(1, code=str(tmp_path / "other"))
    with pytest.raises(ValueError, match=f"the code of ncrepro is .* on {os.uname().nodename} .worker .*, and .* here"):
        results(abs, [1])


def test_a_worker_with_another_arithmetic_is_refused(machines):
    machines.work(1, NCREPRO_ARITHMETIC="native")
    with pytest.raises(ValueError, match="would give other last digits: NCREPRO_ARITHMETIC is 'native'; start workers"):
        results(abs, [1])


# What may be asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address, expected",
    [
        ("local:none", "local:4 starts four workers"),
        ("local:0", "local:4 starts four workers"),
        ("host:8786", "it may be an address"),
        ("missing.yaml", "missing.yaml cannot be read"),
    ],
)
def test_an_address_that_means_nothing_is_refused(monkeypatch, address, expected):
    monkeypatch.setenv("NCREPRO_CLUSTER", address)
    with pytest.raises(ValueError, match=expected):
        cluster.client()


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch):
    monkeypatch.setenv("NCREPRO_CLUSTER", "tcp://127.0.0.1:1")
    monkeypatch.setattr(cluster, "ANSWER_S", 0.5)
    with pytest.raises(OSError, match="no Dask scheduler answers at tcp://127.0.0.1:1"):
        cluster.client()


@pytest.mark.parametrize(
    "text, expected",
    [
        ("[]", "`cluster` is missing"),
        ("cluster: a.B\noption: {}", "unknown key 'option'.*did you mean 'options'"),
        ("cluster: distributed.LocalClustr", "there is no distributed.LocalClustr here"),
        ("cluster: distributed.LocalCluster\nworkers: none", "workers is 'none'; it is a number from 1 on"),
    ],
)
def test_a_file_that_describes_no_cluster_is_refused(monkeypatch, tmp_path, text, expected):
    (tmp_path / "cluster.yaml").write_text(text)
    monkeypatch.setenv("NCREPRO_CLUSTER", str(tmp_path / "cluster.yaml"))
    with pytest.raises(ValueError, match=expected):
        cluster.client()


def test_a_file_may_describe_a_cluster(monkeypatch, tmp_path, root):
    options = "{n_workers: 0, threads_per_worker: 1, processes: false, dashboard_address: ':0'}"
    (tmp_path / "cluster.yaml").write_text(f"cluster: distributed.LocalCluster\noptions: {options}\nworkers: 1\n")
    monkeypatch.setenv("NCREPRO_CLUSTER", str(tmp_path / "cluster.yaml"))
    try:
        assert results(abs, [-3, 4]) == {-3: 3, 4: 4}
    finally:
        cluster.leave()


PROGRAM = """
import os
from ncrepro.store import cluster
print(cluster.address(), *cluster.client().scheduler_info()["workers"])
"""


def test_a_cluster_of_this_machine_starts_beside_another_one(monkeypatch, recwarn):
    monkeypatch.setenv("NCREPRO_CLUSTER", "local:1")
    with socket.socket() as other:
        with suppress(OSError):  # another program has it
            other.bind(("", 8787))  # the usual port of Dask's dashboard
            other.listen()
        try:
            assert results(abs, [-3]) == {-3: 3}
        finally:
            cluster.leave()
    assert not [warned for warned in recwarn if "8787" in str(warned.message)]


def test_processes_that_are_started_together_share_one_cluster(monkeypatch):
    monkeypatch.setenv("NCREPRO_CLUSTER", "local:1")
    with cluster.started():
        first, second = (subprocess.check_output([sys.executable, "-c", PROGRAM], text=True) for _ in range(2))
    lines = [next(line for line in output.splitlines() if line.startswith("tcp:")) for output in (first, second)]
    assert lines[0] == lines[1] and len(lines[0].split()) == 2
    assert os.environ["NCREPRO_CLUSTER"] == "local:1"


def test_a_running_scheduler_is_used_as_it_is(monkeypatch):
    monkeypatch.setenv("NCREPRO_CLUSTER", "tcp://127.0.0.1:1")
    with cluster.started():
        assert os.environ["NCREPRO_CLUSTER"] == "tcp://127.0.0.1:1"


# Placement ------------------------------------------------------------------------------------------------------------


def team(*workers):
    made = object.__new__(cluster.Team)
    made.workers = {worker.address: worker for worker in workers}
    return made


def worker(name, **known):
    return cluster.Worker(
        **{"address": name, "host": name, "shares": True, "gpus": 0, "slots": 1, "gigabytes": 8} | known
    )


def test_work_for_a_gpu_goes_where_there_is_one_and_one_at_a_time():
    with_gpu, without = worker("a", gpus=1, slots=4), worker("b")
    work = cluster.Work(gpu=True)
    assert team(with_gpu, without).free(work) is with_gpu
    with_gpu.busy = 1
    assert team(with_gpu, without).free(work) is None  # waits, though it has three threads more
    assert team(with_gpu, without).free(cluster.Work()) is without
    assert team(without).free(work) is without  # no GPU anywhere


def test_who_has_the_data_is_preferred_but_not_waited_for():
    cold, warm = worker("a"), worker("b", warm={"pets"})
    assert team(cold, warm).free(cluster.Work(data="pets")) is warm
    warm.busy = 1
    assert team(cold, warm).free(cluster.Work(data="pets")) is cold


def test_work_goes_where_there_is_memory():
    small, large = worker("a", gigabytes=4), worker("b", gigabytes=64)
    assert team(small, large).free(cluster.Work(gigabytes=10)) is large


def test_a_schedule_is_as_long_as_its_longest_chain():
    import pandas as pd

    table = pd.DataFrame({"pool": "one", "step": ["pretrain"] * 3 + ["score"], "hours": [3.0, 2.0, 1.0, 4.0]})
    found = plan.schedule(table, (1, 2, 8)).set_index("gpus")
    assert found["hours"].tolist() == [10.0, 7.0, 7.0]
    assert found.loc[2, "efficiency"] == pytest.approx(10 / 14)
    assert found.loc[8, "limit"] == "most is lost in one: score"
