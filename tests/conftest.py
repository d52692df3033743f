import fcntl
import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ncrepro as _  # noqa: F401, first of all, which settles how NumPy and torch compute before any test loads them

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session", autouse=True)
def _autograd_that_may_fork():
    """torch counts devices at its first backward pass. After `torch.export` there is one more, and after that pass no
    forked process could train: so the first comes before any test, in whatever order they run.
    """
    import torch

    torch.ones(1, requires_grad=True).sum().backward()


@pytest.fixture
def collected():
    """What a test leaves open is collected with the test, whose warnings it is, and not with a later one."""
    yield
    gc.collect()


@pytest.fixture
def checkout(tmp_path):
    """A copy of the sources, as a fresh clone would have them, to run `make` in."""
    folder = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("cache", "results", "__pycache__", ".ipynb_checkpoints", "smoke")
    for part in ("ncrepro", "bench", "notebooks", "data"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=ignored)
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(REPOSITORY / name, folder / name)
    return folder


@pytest.fixture
def bare(checkout):
    """The checkout without what takes long before `make` runs its first notebook: no library is loaded for all of
    them, and no pool is looked at. For tests of what becomes of notebooks that need neither.
    """
    loads = checkout / "ncrepro" / "commands" / "make.py"
    code, n = re.subn(r"(?s)LIBRARIES = \(.*?\)", 'LIBRARIES = ("IPython", "ipykernel.kernelapp")', loads.read_text())
    assert n == 1
    loads.write_text(code)
    (checkout / "ncrepro" / "lab" / "experiment.py").write_text("def Experiment(*pool): ...\n")
    return checkout


@pytest.fixture
def make(checkout):
    """Run `make` with the smoke profile in the checkout."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        command = ["make", "PROFILE=smoke", f"PYTHON={sys.executable}", *arguments]
        inherited = {"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), **environment}
        return subprocess.run(command, cwd=checkout, env=inherited, capture_output=True, text=True)

    return run


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty place for data and results, with the real profiles."""
    shutil.copytree(REPOSITORY / "notebooks" / "profiles", tmp_path / "notebooks" / "profiles")
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))
    monkeypatch.setenv("NCREPRO_PROFILE", "smoke")
    return tmp_path


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The book, built once for all tests by the first process of pytest that wants it."""
    place = tmp_path_factory.getbasetemp()
    place = place.parent if "PYTEST_XDIST_WORKER" in os.environ else place
    with open(place / "book.lock", "a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if not lock.read():
            command = [sys.executable, "-W", "ignore", "-m", "ncrepro", "book"]
            process = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
            assert process.returncode == 0, process.stderr
            lock.write("built")
    return REPOSITORY / "build" / "book"
