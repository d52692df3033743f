"""A notebook that is opened before its profile has run: the committed tables, a banner, nothing trained, nothing
written.
"""

import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from ncrepro import metrics
from ncrepro.commands import sample as command
from ncrepro.lab import analyses, committed_sample
from ncrepro.lab.analyses import ablations
from ncrepro.lab.experiment import Experiment
from ncrepro.lab.trajectories import Trajectories
from ncrepro.store import artifacts, cold_notebooks, jobs, paths, trace

# What a normal run of the tests tries; NCREPRO_COLD=all tries every notebook (minutes).
TRIED = ("20_supervised", "40_rank_your_own", "90_figures")
NOTEBOOKS = sorted(path.stem for path in (REPOSITORY / "notebooks").glob("[0-9]*.ipynb"))
SECONDS = 60


# Whole notebooks ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The sources and committed tables, as in a fresh clone; no notebook may change what is there."""
    folder = tmp_path_factory.mktemp("clone")
    ignored = shutil.ignore_patterns("cache", "results", "__pycache__", ".ipynb_checkpoints", "smoke", "*.png", "*.pdf")
    for part in ("ncrepro", "bench", "notebooks", "data", "figures"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=ignored)
    return folder


def opened(clone, notebook, **environment):
    """What a reader sees who opens a notebook and runs all cells: `cold_run.run`."""
    inherited = {
        name: value for name, value in os.environ.items() if name not in (trace.FILE, "NCREPRO_ROOT", "NCREPRO_CACHE")
    }
    command = [
        sys.executable,
        "-W",
        "ignore",
        REPOSITORY / "tests" / "cold_run.py",
        clone / "notebooks" / f"{notebook}.ipynb",
    ]
    environment = {"NCREPRO_PROFILE": "demo", **inherited, "PYTHONPATH": str(clone), **environment}
    done = subprocess.run(command, env=environment, cwd=clone / "notebooks", capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def files(folder):
    """Every file but the generated data sets, what Python compiles and what code reaches, with the time of its
    content.
    """
    remembered = (folder / "data" / "cache" / "datasets", folder / "data" / "cache" / "reach")
    kept = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in kept if not any(map(path.is_relative_to, remembered))}


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom_in_a_fresh_clone_and_writes_nothing(clone, notebook):
    if notebook not in TRIED and os.environ.get("NCREPRO_COLD") != "all":
        pytest.skip("minutes: NCREPRO_COLD=all tries every notebook")
    before = files(clone)
    seen = opened(clone, notebook)
    assert seen["failed"] is None
    assert files(clone) == before
    banners = [text for text in seen["texts"] if "has not run here" in text]
    assert len(banners) == (notebook != "00_start_here")  # which works on toy data alone
    assert all("`make all PROFILE=demo`" in text for text in banners)
    assert not [text for text in seen["texts"] if "data/results/" in text]  # where nothing lies
    assert seen["figures"] or notebook == "90_figures"
    assert seen["cpu_seconds"] < SECONDS  # the clock would measure what else this machine does


def test_under_make_nothing_is_cold(clone, tmp_path):
    """A missing table is an error there, as one line."""
    seen = opened(clone, "30_ablations", **{trace.FILE: str(tmp_path / "trace")})
    assert seen["failed"].splitlines() == [
        "data/results/demo/supervised/accuracies.csv is missing: run `make all PROFILE=demo`"
    ]
    read = [fact for kind, fact in map(json.loads, (tmp_path / "trace").read_text().splitlines()) if kind == "read"]
    assert not [file for file in read if file.startswith(("data/reference/demo/", "data/sample/"))]


# What is cold ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def reader(root, monkeypatch):
    """A reader's notebook in a place with committed tables of the smoke profile, and none of its own; what was told is
    kept.
    """
    monkeypatch.setattr(cold_notebooks, "_answers", {})
    monkeypatch.setattr(cold_notebooks, "_kept", {})
    monkeypatch.setattr(cold_notebooks, "_is_read", lambda: not trace.is_on())
    messages = []
    monkeypatch.setattr(cold_notebooks, "_tell", messages.append)
    for name in ("pretraining", "accuracies", "features", "scores", "correlations", "embedding"):
        committed("supervised", name)
    for name in ("terminal_phase", "terminal_plane", "following"):
        committed("neural_collapse", name)
    return messages


def committed(topic, name):
    path = paths.reference("smoke", topic) / f"{name}.csv"
    artifacts.write(path, f"table\n{name}\n")


def no_work(*_, **__):
    raise AssertionError("a cold notebook works")


def test_the_verbs_give_the_committed_tables_and_do_nothing(reader, monkeypatch):
    monkeypatch.setattr(jobs, "run", no_work)
    before = files(paths.root())
    study, followed = Experiment("supervised"), Trajectories()
    tables = {
        "pretraining": study.pretrain(),
        "accuracies": study.finetune(),
        "features": study.extract(),
        "scores": study.score(),
        "correlations": study.correlate(),
        "embedding": study.embed("digits"),
        "following": followed.follow(),
    }
    phase, plane = followed.reach_terminal_phase()
    for name, table in (tables | {"terminal_phase": phase, "terminal_plane": plane}).items():
        assert table["table"].tolist() == [name]
    assert study.folder == "data/reference/smoke/supervised"
    assert files(paths.root()) == before
    assert reader == ["smoke"]  # told once


def test_what_a_cold_notebook_computes_stays_in_its_session(reader):
    study, table = Experiment("supervised"), pd.DataFrame({"table": ["computed"]})
    study.write("scores", table)
    assert study.read("scores").equals(table)
    assert study.read("accuracies")["table"].tolist() == ["accuracies"]
    assert not paths.results("smoke").exists()


def test_an_analysis_is_its_committed_table(reader):
    committed("ablations", "face_terms")
    assert analyses.table("smoke", "ablations", "face_terms", no_work)["table"].tolist() == ["face_terms"]
    with pytest.raises(
        cold_notebooks.Missing,
        match="^data/results/smoke/ablations/other.csv is missing: run `make all PROFILE=smoke`$",
    ):
        analyses.table("smoke", "ablations", "other", no_work)


def test_what_needs_every_models_features_is_refused_in_one_line(reader, monkeypatch):
    monkeypatch.setattr(jobs, "run", no_work)
    with pytest.raises(
        cold_notebooks.Missing,
        match="^supervised: equiangularity: this is no committed table: run `make all PROFILE=smoke`$",
    ):
        Experiment("supervised").measure(ablations.equiangularity, [{}])
    with pytest.raises(
        cold_notebooks.Missing,
        match="^the committed sample has no features of vgg16 on digits: run `make all PROFILE=smoke`$",
    ):
        Experiment("supervised").features_of("vgg16", "digits")


@pytest.mark.parametrize("change", [
    lambda patch: patch.setenv(trace.FILE, os.devnull),
    lambda patch: patch.setattr(cold_notebooks, "_is_read", lambda: False),
    lambda patch: artifacts.write(paths.results("smoke", "text") / "scores.csv", "x\n"),
    lambda patch: shutil.rmtree(paths.reference("smoke")),
], ids=["under make", "not in a notebook", "a table of its own", "nothing committed"])  # fmt: skip
def test_it_is_not_cold(reader, monkeypatch, change):
    change(monkeypatch)
    study = Experiment("supervised")
    with pytest.raises(
        cold_notebooks.Missing,
        match="^data/results/smoke/supervised/accuracies.csv is missing: run `make all PROFILE=smoke`$",
    ):
        study.read("accuracies")
    assert study.folder == "data/results/smoke/supervised"
    study.write("scores", pd.DataFrame({"x": [1]}))
    assert (paths.results("smoke", "supervised") / "scores.csv").exists()
    assert reader == []


def test_this_process_is_no_notebook(root):
    assert not cold_notebooks._is_read()


def test_a_session_does_not_become_warm_while_it_runs(reader):
    study = Experiment("supervised")
    assert study.is_cold
    artifacts.write(paths.results("smoke", "text") / "scores.csv", "x\n")  # by make, in another window
    assert study.is_cold and study.read("accuracies")["table"].tolist() == ["accuracies"]


# The sample -----------------------------------------------------------------------------------------------------------


PAIRS = [(pool, *pair) for pool in committed_sample.CHOSEN["demo"] for pair in committed_sample.pairs("demo", pool)]


def test_the_sample_is_small_and_as_its_provenance_says():
    folder = paths.sample("demo")
    kept = list(folder.rglob("*.safetensors"))
    assert sum(path.stat().st_size for path in kept) <= 2e6 and len(kept) == len(PAIRS)
    provenance = artifacts.read_table(folder / "provenance.csv", "demo").set_index(["pool", "model", "target"])
    assert list(provenance.index) == PAIRS
    for key, row in provenance.iterrows():
        arrays = committed_sample.load("demo", *key)
        assert arrays["features"].shape == (row["n_samples"], row["n_features"])
        assert len(np.unique(arrays["labels"])) == row["n_classes"]
        reference = (
            pd.read_csv(paths.reference("demo", key[0]) / "accuracies.csv")
            .groupby(["model", "target"])["accuracy"]
            .mean()
        )
        assert row["accuracy"] == pytest.approx(reference[key[1:]])


@pytest.mark.parametrize("pool, model, target", PAIRS)
def test_the_sample_scores_as_the_committed_tables_say(pool, model, target):
    """Features of another model, or other images, would not; float16 moves a score by less than a fiftieth."""
    arrays = committed_sample.load("demo", pool, model, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = metrics.all_scores(arrays["features"], arrays["labels"], arrays.get("source_probs"), nleep=False)
    scores = pd.read_csv(paths.reference("demo", pool) / "scores.csv").query("model == @model and target == @target")
    known = scores.set_index(["metric", "term"])["score"]
    several = {f"{metric}_{term}": (metric, term) for metric, term in known.index if term != "total"}
    for name, score in found.items():
        assert score == pytest.approx(known[several.get(name, (name, "total"))], rel=2e-2), name


@pytest.fixture
def of_smoke(root, monkeypatch):
    """Two models of the smoke pool chosen for a sample, their features in the cache, their accuracies among the
    results.
    """
    study, rng = Experiment("supervised"), np.random.default_rng(0)
    models, target = [model.name for model in study.pool.models[:2]], study.pool.targets[0]
    monkeypatch.setitem(committed_sample.CHOSEN, "smoke", {"supervised": (target, tuple(models))})
    for model in models:
        job = study._extraction(study._model(model), target)
        artifacts.save(
            job.path, {"features": rng.normal(size=(6, 3)).astype(np.float32), "labels": np.arange(6) % 2}, job.spec
        )
    study.write("pretraining", pd.DataFrame({"model": models, "source": "source", "source_accuracy": 50.0}))
    study.write("accuracies", pd.DataFrame({"model": models, "target": target, "accuracy": [60.0, 70.0]}))
    return study, models, target


def test_make_sample_keeps_what_the_cache_holds_and_says_what_changed(of_smoke, capsys):
    study, (one, other), target = of_smoke
    table = command.remake("smoke")
    assert table["accuracy"].tolist() == [60.0, 70.0] and table["n_features"].tolist() == [3, 3]
    assert capsys.readouterr().out.splitlines() == [f"supervised: {model} on {target}: new" for model in (one, other)]
    true, kept = study.features_of(one, target), committed_sample.load("smoke", "supervised", one, target)
    assert np.array_equal(true["labels"], kept["labels"]) and kept["features"].dtype == true["features"].dtype
    np.testing.assert_allclose(kept["features"], true["features"], rtol=1e-3)

    job = study._extraction(study._model(other), target)
    artifacts.save(job.path, {"features": np.zeros((6, 3), np.float32), "labels": np.arange(6) % 2}, job.spec)
    command.remake("smoke")
    same, changed = capsys.readouterr().out.splitlines()
    assert same.endswith(": the same") and changed.startswith(f"supervised: {other} on {target}: differed by ")
    assert not committed_sample.load("smoke", "supervised", other, target)["features"].any()


def test_make_sample_needs_a_chosen_profile_and_its_cache(of_smoke, root):
    shutil.rmtree(root / "data" / "cache")
    with pytest.raises(FileNotFoundError, match="no valid features of"):
        command.remake("smoke")
    with pytest.raises(ValueError, match="unknown profile with a sample 'demos'"):
        command.remake("demos")


def test_a_damaged_sample_is_reported(of_smoke):
    _, (one, _), target = of_smoke
    command.remake("smoke")
    path = next(paths.sample("smoke").rglob(f"{one}-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match=r"^data/sample/smoke/.* is missing or damaged: `git checkout"):
        committed_sample.load("smoke", "supervised", one, target)
