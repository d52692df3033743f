"""Several hosts for real: network namespaces with workers in them, folders of their own, and a link that is cut."""

import os
import shutil
import socket
import subprocess
import sys
import time
from functools import partial

import cluster_jobs
import pytest
import test_cluster
from conftest import REPOSITORY

from ncrepro.store import cluster, jobs

pytest.importorskip("distributed")


def _can():
    if os.geteuid() or not shutil.which("ip"):
        return False
    made = subprocess.run(["ip", "netns", "add", "ncrepro-try"], capture_output=True).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", "ncrepro-try"])
    return made


pytestmark = [
    pytest.mark.filterwarnings("default"),
    pytest.mark.usefixtures("collected"),
    pytest.mark.skipif(not _can(), reason="network namespaces need root and iproute2"),
]


def ip(*words, inside=None):
    subprocess.run(["ip", *(["-n", inside] if inside else []), *words], check=True, capture_output=True)


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """A bridge on this machine, and two hosts at it with folders of their own; the second has room for 64 kB."""
    small = tmp_path / "ncrepro-b/data/cache"
    small.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=True)
    ip("link", "add", "ncrepro-br", "type", "bridge")
    ip("addr", "add", "10.99.0.1/24", "dev", "ncrepro-br")
    ip("link", "set", "ncrepro-br", "up")
    names, processes = ["ncrepro-a", "ncrepro-b"], []
    with socket.socket() as free:
        free.bind(("10.99.0.1", 0))
        port = str(free.getsockname()[1])
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path / "client"))
    shutil.copytree(REPOSITORY / "notebooks" / "profiles", tmp_path / "client/notebooks/profiles")
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    environment |= {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}  # how long a silent worker counts as there
    with open(tmp_path / "log", "w") as log:
        start = partial(subprocess.Popen, stdout=log, stderr=log, cwd=tmp_path, start_new_session=True)
        command = [sys.executable, "-W", "ignore", "-m"]
        scheduler = ["distributed.cli.dask_scheduler", "--host", "10.99.0.1", "--port", port, "--no-dashboard"]
        processes.append(start([*command, *scheduler], env=environment))
        for i, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{name}-v", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}-v", "master", "ncrepro-br", "up")
            ip("addr", "add", f"10.99.0.{i + 2}/24", "dev", "eth0", inside=name)
            ip("link", "set", "eth0", "up", inside=name)
            ip("link", "set", "lo", "up", inside=name)
            within = ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"]
            worker = [*within, *command, "ncrepro", "worker", f"tcp://10.99.0.1:{port}", "--number", "1"]
            processes.append(start(worker, env=environment | {"NCREPRO_ROOT": str(tmp_path / name)}))
    monkeypatch.setenv("NCREPRO_CLUSTER", f"tcp://10.99.0.1:{port}")
    try:
        yield names
    finally:
        cluster.leave()
        for process in processes:
            os.killpg(process.pid, 9)
            process.wait()
        for name in names:
            ip("link", "del", f"{name}-v")  # a namespace goes only when the last process in it has ended
            ip("netns", "del", name)
        ip("link", "del", "ncrepro-br")
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_link_that_is_cut_costs_only_what_was_done_behind_it(hosts, tmp_path):
    host_of, cut, log = {}, False, tmp_path / "done"
    for i, done in cluster.side_by_side(partial(cluster_jobs.square, log), range(60)):
        host_of[i] = done.host
        if len(set(host_of.values())) == 2 and not cut:
            ip("link", "set", "ncrepro-b-v", "down")
            cut, since = True, time.monotonic()
    assert sorted(host_of) == list(range(60)) and set(host_of.values()) == set(hosts)
    assert sum(test_cluster.times(log).values()) <= 62 and time.monotonic() - since < 60
    ip("link", "set", "ncrepro-b-v", "up")
    deadline = time.monotonic() + 60  # the host comes back by itself
    while {done.host for _, done in cluster.side_by_side(partial(cluster_jobs.square, log), range(6))} != set(hosts):
        assert time.monotonic() < deadline
        time.sleep(1)


def test_a_host_with_a_full_disk_does_no_more(hosts, capsys):
    made = [cluster_jobs.numbers_job(i, 20_000) for i in range(6)]
    found = jobs.run("work", made, 1)
    assert [arrays["value"][0] for arrays in found] == list(range(6))
    output = capsys.readouterr().out
    assert "No space left on device; its work goes to others" in output and "ncrepro-a: 6 jobs" in output
