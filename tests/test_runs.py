"""A run is made again when what it rests on or what it made is no longer so, and only then."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import REPOSITORY
from test_pipeline import notebook

from ncrepro.commands import cli, workflow
from ncrepro.commands import run as runs
from ncrepro.lab import profiles
from ncrepro.store import artifacts, manifest, paths

WRITES = """
import numpy as np, pandas as pd
from ncrepro.lab import profiles, published
from ncrepro.store import artifacts, paths
name = profiles.load(profile).name
artifacts.cached(paths.cache(name) / "a.safetensors", {"seed": 0}, lambda: {"x": np.arange(3)})
table = pd.DataFrame({"x": [len(published.load("ncti_table1"))]})
artifacts.write_table(paths.results(name, "made") / "table.csv", table)
"""
READS = """
from ncrepro.lab import profiles
from ncrepro.store import artifacts, paths
name = profiles.load(profile).name
table = artifacts.read_table(paths.results(name, "made") / "table.csv", name)
artifacts.write(paths.figures(name) / "figure.txt", str(table.x[0]))
"""


AFTER = {"05_reads": ("00_writes",)}


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A place in which two runs are made, the second of which reads what the first writes."""
    root = tmp_path_factory.mktemp("runs")
    shutil.copytree(paths.profiles(), root / "notebooks" / "profiles")
    shutil.copytree(paths.published(), root / "data" / "published")
    for name, code in (("00_writes", WRITES), ("05_reads", READS)):
        (root / "notebooks" / f"{name}.ipynb").write_text(notebook("profile = None", code))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCREPRO_ROOT", str(root))
        patch.setenv("NCREPRO_PROFILE", "smoke")
        patch.setattr(workflow, "AFTER", AFTER)
        for name in ("00_writes", "05_reads"):
            runs.run(name, profiles.load())
    return root


@pytest.fixture
def made(two_runs, tmp_path, monkeypatch):
    """A copy of it, elsewhere."""
    root = tmp_path / "root"
    shutil.copytree(two_runs, root)
    monkeypatch.setenv("NCREPRO_ROOT", str(root))
    monkeypatch.setenv("NCREPRO_PROFILE", "smoke")
    monkeypatch.setattr(workflow, "AFTER", AFTER)
    assert stale() == []
    return root


def stale():
    return [
        run.name
        for run in workflow.runs(profiles.load())
        if run.notebook[0] == "0" and workflow.why_again(run, profiles.load())
    ]


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_json(path, **parts):
    path.write_text(json.dumps(json.loads(path.read_text()) | parts))


def checksum(path, **parts):
    content = json.loads(path.read_text()) | parts
    del content["sha256"]
    return manifest._checksum(content)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def test_nothing_is_made_again_because_of_times_or_outputs(made):
    for place, _, names in os.walk(made):
        for name in names:
            os.utime(os.path.join(place, name), (1, 1))
    for path in paths.notebooks().glob("0*.ipynb"):  # as JupyterLab saves it
        content = json.loads(path.read_text())
        content["cells"][1] |= {
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "run"}],
            "execution_count": 3,
        }
        path.write_text(json.dumps(content, indent=4))
    profile = paths.profiles() / "smoke.yaml"
    profile.write_text("# a comment\n" + profile.read_text())
    assert stale() == []


CHANGES = {
    "a table is deleted": (
        lambda root: (root / "data/results/smoke/made/table.csv").unlink(),
        ["00_writes", "05_reads"],
    ),
    "a table is edited": (
        lambda root: edit(root / "data/results/smoke/made/table.csv", "x\n", "x\n9\n"),
        ["00_writes", "05_reads"],
    ),
    "a figure is cut": (lambda root: (root / "figures/smoke/figure.txt").write_text(""), ["05_reads"]),
    "the results are deleted": (
        lambda root: subprocess.run(["rm", "-r", root / "data/results"], check=True),
        ["00_writes", "05_reads"],
    ),
    "the cache is deleted": (lambda root: subprocess.run(["rm", "-r", root / "data/cache"], check=True), ["00_writes"]),
    "an artefact is damaged": (
        lambda root: (root / "data/cache/smoke/a.safetensors").write_bytes(b"torn"),
        ["00_writes"],
    ),
    "an executed notebook is emptied": (
        lambda root: (root / "build/smoke/05_reads.ipynb").write_text(""),
        ["05_reads"],
    ),
    "a manifest is torn": (lambda root: (root / "build/smoke/05_reads.json").write_text("{"), ["05_reads"]),
    "a manifest lacks what was read": (
        lambda root: edit_json(root / "build/smoke/05_reads.json", read={}, write={}),
        ["05_reads"],
    ),
    "a manifest has other parts": (lambda root: edit_json(root / "build/smoke/05_reads.json", code=[{}]), ["05_reads"]),
    "a manifest has the form of older code": (
        lambda root: edit_json(
            root / "build/smoke/05_reads.json",
            there=None,
            sha256=checksum(root / "build/smoke/05_reads.json", there=None),
        ),
        ["05_reads"],
    ),
    "a manifest is a pipe": (lambda root: pipe(root / "build/smoke/05_reads.json"), ["05_reads"]),
    "the profile says something else": (
        lambda root: edit(paths.profiles() / "smoke.yaml", "workers: 2", "workers: 1"),
        ["00_writes", "05_reads"],
    ),
    "a cell is edited": (
        lambda root: edit(root / "notebooks/05_reads.ipynb", "str(table.x[0])", "str(int(table.x[0]))"),
        ["05_reads"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_made_again_and_ends_as_before(made, change):
    act, expected = CHANGES[change]
    table = made / "data/results/smoke/made/table.csv"
    before = table.read_bytes()
    act(made)
    assert stale() == expected
    for name in ("00_writes", "05_reads"):
        runs.run(name, profiles.load())
    assert stale() == []
    assert (
        table.read_bytes() == before and (made / "figures/smoke/figure.txt").read_text() == before.decode().split()[1]
    )


def test_what_was_read_is_known_also_from_worker_processes(made):
    code = """
from ncrepro.store import jobs, paths
def read(i):
    return (paths.published() / "claims.csv").read_text()[:i]
list(jobs.side_by_side(read, [1, 2], 2))
"""
    (made / "notebooks" / "06_workers.ipynb").write_text(notebook("profile = None", code))
    runs.run("06_workers", profiles.load())
    assert "data/published/claims.csv" in json.loads((made / "build/smoke/06_workers.json").read_text())["read"]


def test_a_run_that_reads_what_no_run_before_it_writes_is_refused(made):
    (made / "notebooks" / "04_early.ipynb").write_text(notebook("profile = None", READS))
    with pytest.raises(
        ValueError, match=r"04_early read data/results/smoke/made/table.csv, which no run before it writes"
    ):
        runs.run("04_early", profiles.load())


def test_a_run_that_imports_what_the_fingerprint_does_not_find_is_refused(made):
    hidden = "profile = None", "import ncrepro\nname = 'ncrepro.store.' + 'mem' + 'ory'\n__import__(name)"
    (made / "notebooks" / "07_hidden.ipynb").write_text(notebook(*hidden))
    with pytest.raises(
        ValueError, match="07_hidden imported ncrepro.store.memory, which ncrepro.store.fingerprint does not find"
    ):
        runs.run("07_hidden", profiles.load())


@pytest.mark.parametrize(
    "content",
    [
        *("", "null", '{"cells": 5}', '{"cells": [{}]}', "[{}]", '{"cells": [{"source": [5]}]}', "[" * 100_000),
        *(notebook("profile = None").replace(*odd) for odd in (
            ('"nbformat": 4', '"nbformat": 3'), ('"nbformat": 4', '"nbformat": "4"'), ('"nbformat": 4, ', ""),
            ('{"tags": ["parameters"]}', "null"), ('["parameters"]', "null"), ('"metadata"', '"met"'),
            ('"code"', "null"), ('"code"', '"cod"'), ('{"kernelspec', '["kernelspec'), ('"source"', '"input"'),
        )),
        "<<<<<<< HEAD\n" + notebook("profile = None"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_notebook_is_named(made, content):
    (made / "notebooks" / "05_reads.ipynb").write_text(content)
    with pytest.raises(ValueError, match="notebooks/05_reads.ipynb is not a notebook"):
        runs.run("05_reads", profiles.load())


@pytest.mark.parametrize("cell", ["%timeit 1", "x = = 1", "!ls"])
def test_a_cell_that_is_not_python_is_named(made, cell):
    (made / "notebooks" / "05_reads.ipynb").write_text(notebook("profile = None", cell))
    with pytest.raises(
        ValueError, match="05_reads.ipynb: a cell is not Python .*; magics cannot be run here"
    ) as caught:
        runs.run("05_reads", profiles.load())
    assert cell in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("x = '\ud800'", "a cell is not Python"),
        ("-" * 100_000 + "1", "a cell is not Python"),
        ("(" * 5000, "a cell is not Python"),
        ("x" + ".y" * 5000, "a cell is not Python"),
        ("from . import x", "it cannot be told what its cells use"),
        ("import importlib\nimportlib.import_module(profile)", "it cannot be told what its cells use"),
    ],
)
def test_a_cell_that_cannot_be_followed_is_one_short_sentence_of_every_command(made, cell, message, capsys):
    (made / "notebooks" / "05_reads.ipynb").write_text(notebook("profile = None", cell))
    for command in (["run", "05_reads"], ["make"]):
        assert cli.main(command) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: notebooks/05_reads.ipynb: {message}") and len(line) < 300


def test_a_notebook_that_names_no_kernel_or_another_is_run_by_python(made):
    path = made / "notebooks" / "05_reads.ipynb"
    edit(path, json.dumps(json.loads(path.read_text())["metadata"]), "{}")
    (made / "build/smoke/05_reads.json").unlink()
    runs.run("05_reads", profiles.load())
    assert json.loads((made / "build/smoke/05_reads.ipynb").read_text())["metadata"]["kernelspec"] == runs.KERNEL


@pytest.mark.parametrize("file", ["05_reads.ipynb", "05_reads.json"])
def test_a_folder_in_the_place_of_what_a_run_makes_is_named(made, file):
    (made / "build/smoke" / file).unlink()
    (made / "build/smoke" / file).mkdir()
    with pytest.raises(OSError, match=f"build/smoke/{file} is a folder or no plain file: remove it"):
        runs.run("05_reads", profiles.load())


def test_an_unknown_run_is_refused(root):
    with pytest.raises(ValueError, match="unknown notebook '10_train_pol'.*did you mean"):
        workflow.run_named("10_train_pol", profiles.load())


def test_a_process_that_is_killed_is_one_clear_line_and_leaves_nothing_behind(made):
    (made / "notebooks" / "08_dies.ipynb").write_text(notebook("profile = None", "import os\nos.kill(os.getpid(), 9)"))
    with pytest.raises(runs.NotebookFailed, match="08_dies.ipynb: its process was killed"):
        runs.run("08_dies", profiles.load())
    assert not list((made / "build/smoke").glob("08_dies*.ipynb"))


def test_a_process_that_dies_as_it_starts_is_one_clear_line_with_its_last_words(made, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nsys.stderr.write('no room left')\nsys.stderr.flush()\nos._exit(1)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (made / "notebooks" / "08_dies.ipynb").write_text(notebook("profile = None", "1 + 1"))
    with pytest.raises(runs.NotebookFailed, match="08_dies.ipynb: its process was killed.*it said: no room left"):
        runs.run("08_dies", profiles.load())


def test_two_processes_make_a_run_once(made):
    (made / "notebooks" / "09_slow.ipynb").write_text(notebook("profile = None", "import time; time.sleep(2)"))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-W", "ignore", "-m", "ncrepro", "run", "09_slow"]
    first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lock = made / "build/smoke/09_slow.lock"
    while not lock.exists():
        time.sleep(0.05)
    second = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    outputs = [process.communicate(timeout=120) for process in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    assert sum("waiting" in out for out, _ in outputs) == 1
    assert sum(out.count("09_slow\n") for out, _ in outputs) == 1


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_in_a_locks_place_is_named_and_never_waited_for(make, made):
    lock = made / "build/smoke/00_writes.lock"
    lock.unlink()
    make(lock)
    with pytest.raises(OSError, match="build/smoke/00_writes.lock is a folder or no plain file: remove it"):
        runs.run("00_writes", profiles.load())


def test_a_torn_table_is_named(root):
    path = paths.results("smoke", "supervised") / "scores.csv"
    artifacts.write(path, "")
    with pytest.raises(
        ValueError, match="data/results/smoke/supervised/scores.csv cannot be read.*run `make all PROFILE=smoke`"
    ):
        artifacts.read_table(path, "smoke")
