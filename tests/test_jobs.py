"""Jobs side by side: what ends them, what they inherit, and that they leave nothing behind."""

import os
import platform
import resource
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from ncrepro.store import artifacts, jobs


def _square(folder, i):
    (folder / str(i)).touch()
    if i < 0:
        raise ValueError(f"{i} is negative")
    return i, i * i


def _threads(_):
    np.ones((9, 9)) @ np.ones((9, 9))
    return (
        torch.get_num_threads(),
        {pool["num_threads"] for pool in threadpool_info()},
        os.environ["OMP_NUM_THREADS"],
        os.getpid(),
    )


def _page_faults(_):
    """How many pages of memory the kernel gives while 48 MB are asked for and freed, ten times."""
    for step in range(12):
        if step == 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        held = [np.ones(1 << 20) for _ in range(6)]
        del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _killed(_):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_every_item_is_worked_on_once(tmp_path, monkeypatch, start):
    monkeypatch.setattr(jobs, "START", start)
    assert dict(jobs.side_by_side(partial(_square, tmp_path), range(7), 2)) == {i: i * i for i in range(7)}


def test_nothing_to_do_starts_no_process():
    assert list(jobs.side_by_side(os.getpid, [], 2)) == []


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_process_has_one_thread_though_this_one_has_used_several(monkeypatch, start):
    monkeypatch.setattr(jobs, "START", start)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.ones(400, 400) @ torch.ones(400, 400)
    try:
        (found,) = jobs.side_by_side(_threads, [None], 1)
    finally:
        torch.set_num_threads(before)
    assert found[:3] == (1, {1}, "1") and found[3] != os.getpid()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked to keep memory")
def test_freed_memory_is_used_again_and_not_requested_anew():
    (found,) = jobs.side_by_side(_page_faults, [None], 1)
    assert found < 2048  # the pages of one array of sixty


def test_an_error_is_raised_here_and_ends_what_has_not_begun(tmp_path):
    with pytest.raises(ValueError, match="-1 is negative"):
        list(jobs.side_by_side(partial(_square, tmp_path), [-1, *range(500)], 2))
    assert len(list(tmp_path.iterdir())) < 400


def test_a_process_that_is_killed_is_an_error_and_not_a_wait():
    with pytest.raises(ChildProcessError, match="was killed, most often for lack of memory"):
        list(jobs.side_by_side(_killed, [1, 2], 2))


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    code = f"""
import os, time
from pathlib import Path
from ncrepro.store import jobs
def work(i):
    Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(60)
list(jobs.side_by_side(work, [1, 2], 2))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    _until(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.kill()
    parent.wait()
    _until(lambda: not any(_alive(int(child.name)) for child in tmp_path.iterdir()))


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"  # nobody need have waited for it
    except FileNotFoundError:
        return False


def _until(condition):
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it did not come to that within 30 seconds")


def _number(value):
    return {"value": np.array(value)}


def test_what_is_made_and_valid_is_not_made_again(tmp_path, capsys):
    made = [jobs.Job(f"job {i}", tmp_path / f"{i}.safetensors", {"i": i}, partial(_number, float(i))) for i in range(3)]
    artifacts.save(made[1].path, {"value": np.array(10.0)}, made[1].spec)
    assert [arrays["value"].item() for arrays in jobs.run("work", made, 2)] == [0.0, 10.0, 2.0]
    assert jobs.require(made[0].path, made[0].spec, "number").keys() == {"value", "seconds", "peak_mb"}
    assert capsys.readouterr().err.startswith("work: 1 of 3\nwork: 3 of 3")
