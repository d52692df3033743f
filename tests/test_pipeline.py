"""What goes wrong silently with make, papermill and notebooks, each made to happen."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import REPOSITORY

from ncrepro.commands import cli as pipeline
from ncrepro.commands import run, variables
from ncrepro.commands.forked_process import Forked
from ncrepro.lab import profiles
from ncrepro.lab.experiment import Experiment
from ncrepro.store import paths


def notebook(*cells, tag="parameters"):
    """A notebook of code cells, the first one tagged."""
    made = [{"cell_type": "code", "metadata": {}, "source": c, "outputs": [], "execution_count": None} for c in cells]
    made[0]["metadata"] = {"tags": [tag]} if tag else {}
    return json.dumps(
        {
            "cells": made,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4,
            "nbformat_minor": 4,
        }
    )


@pytest.fixture
def place(root):
    def write(*cells, **tag):
        (root / "it.ipynb").write_text(notebook(*cells, **tag))
        return root / "it.ipynb", root / "build" / "it.ipynb"

    return write


# One notebook ---------------------------------------------------------------------------------------------------------


def test_a_notebook_that_runs_is_written_with_its_outputs(place):
    source, output = place("profile = None", "1 + 1")
    run.run_notebook(source, output, {})
    assert json.loads(output.read_text())["cells"][1]["outputs"][0]["data"]["text/plain"] in ("2", ["2"])


def test_a_failed_notebook_leaves_its_traceback_and_no_target(place):
    source, output = place("profile = None", "1 / 0")
    with pytest.raises(run.NotebookFailed, match="it.ipynb: ZeroDivisionError: division by zero"):
        run.run_notebook(source, output, {})
    assert not output.exists()
    assert "ZeroDivisionError" in output.with_suffix(".failed.ipynb").read_text()


def test_a_mistyped_parameter_is_refused(place):
    source, output = place("profile = None\npool = 'supervised'  # which")
    with pytest.raises(ValueError, match="unknown parameter 'pol': choose one of pool, profile; did you mean 'pool'"):
        run.run_notebook(source, output, {"pol": "supervised"})
    assert not output.exists()


@pytest.mark.parametrize("tag", ["parameter", None])
def test_a_notebook_without_a_parameters_cell_is_refused(place, tag):
    source, output = place("profile = None", tag=tag)
    with pytest.raises(ValueError, match="0 cells tagged 'parameters'"):
        run.run_notebook(source, output, {})


def test_a_parameter_reaches_the_notebook(place):
    source, output = place("pool = 'supervised'", "print(pool)")
    run.run_notebook(source, output, {"pool": "text"})
    assert "text" in [o["text"] for c in json.loads(output.read_text())["cells"] for o in c["outputs"]][-1]


def test_of_a_progress_bar_only_the_last_state_is_kept(place):
    source, output = place("profile = None", "print('1/2', end='\\r'); print('2/2', end='\\n'); print('done')")
    run.run_notebook(source, output, {})
    assert json.loads(output.read_text())["cells"][1]["outputs"][0]["text"] == "2/2\ndone\n"


def test_what_is_folded_stays_folded(place):
    source, output = place("profile = None", "1 + 1")
    notebook = json.loads(source.read_text())
    notebook["cells"][1]["metadata"] = {"jupyter": {"source_hidden": True}, "scrolled": True}
    source.write_text(json.dumps(notebook))
    run.run_notebook(source, output, {})
    assert [c["metadata"] for c in json.loads(output.read_text())["cells"]] == [
        {"tags": ["parameters"]}, {"jupyter": {"source_hidden": True}},
    ]  # fmt: skip


def test_the_end_of_a_notebook_is_no_error(place, capfd):
    """Of a kernel that is interrupted between its last cell and its end."""
    for _ in range(3):
        run.run_notebook(*place("profile = None"), {})
    assert "KeyboardInterrupt" not in capfd.readouterr().err


# Through make ---------------------------------------------------------------------------------------------------------


def test_make_alone_explains_itself(make):
    output = make().stdout
    for target in ("all", "test", "lab", "verify", "bench", "clean", "distclean"):
        assert f"make {target} " in output


@pytest.mark.usefixtures("bare")
def test_make_fails_when_a_notebook_fails_and_says_why_in_one_line(make, checkout):
    (checkout / "notebooks" / "00_start_here.ipynb").write_text(
        notebook("profile = None", "raise RuntimeError('no luck')")
    )
    result = make("build/smoke/00_start_here.ipynb")
    assert result.returncode != 0
    assert "error: 00_start_here.ipynb: RuntimeError: no luck" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (checkout / "build/smoke/00_start_here.ipynb").exists()
    assert (checkout / "build/smoke/00_start_here.failed.ipynb").exists()


def test_an_unknown_profile_is_one_clear_line(make):
    result = make("all", "PROFILE=dmo")
    assert result.returncode != 0
    assert "error: unknown PROFILE 'dmo': choose one of classroom, demo" in result.stderr


@pytest.mark.parametrize(
    "profile", ["", "..", "smoke/..", "dmo+1", "smoke+ data", "smoke+1;rm -r data", "smoke+`rm -r data`"]
)
def test_nothing_is_removed_of_a_profile_that_is_not_there(profile, make, checkout):
    (checkout / "data" / "results").mkdir()
    assert "error: unknown " in make("clean", f"PROFILE={profile}").stderr
    assert (checkout / "data" / "results").exists() and (checkout / "data" / "reference").exists()


@pytest.mark.usefixtures("bare")
def test_make_runs_in_order_what_is_not_up_to_date_and_nothing_else(make, checkout):
    for path in (checkout / "notebooks").glob("*.ipynb"):
        path.unlink()
    for name in ("00_first", "90_last"):
        (checkout / "notebooks" / f"{name}.ipynb").write_text(notebook("profile = None", "1 + 1"))
    profile = checkout / "notebooks/profiles/smoke.yaml"
    profile.write_text(profile.read_text() + "without: [00_first]\n")
    assert make("all").stdout.split() == ["90_last"]
    profile.write_text(profile.read_text().replace("without: [00_first]\n", ""))
    assert make("all").stdout.split() == ["00_first"]  # what the last one reads did not change
    again = make("all").stdout
    assert again == "smoke: nothing has to be made\n"
    assert make("clean", "all").stdout.split()[-2:] == [
        "00_first",
        "90_last",
    ]  # one after the other, though runs go on in pairs


def test_the_makefile_leaves_to_python_what_python_reads():
    lines = (REPOSITORY / "Makefile").read_text().splitlines()
    (unexported,) = (line.split()[1:] for line in lines if line.startswith("unexport "))
    assert sorted(unexported) == sorted(name.upper() for name in (*variables.OF_RANK, "out"))


@pytest.mark.parametrize("name", ["SEED", "LAB_OPTIONS", "NCREPRO_CLUSTER", "IMAGES", "PYTHN", "PROFILE"])
def test_nothing_that_is_typed_is_run_by_make(name, make, checkout):
    make("variables", f"{name}=$(shell touch ran)")
    make("variables", f"{name}=`touch ran`; touch ran")
    assert not (checkout / "ran").exists()


def test_what_is_typed_reaches_python_as_it_is(make):
    result = make("variables", "NCREPRO_ARITHMETIC=$(x) 'fast'")
    assert result.stderr.splitlines()[0].startswith("error: NCREPRO_ARITHMETIC is \"$(x) 'fast'\"; allowed is")


def test_the_option_of_make_that_hides_what_is_typed_is_refused(make):
    result = make("-e", "variables", "METRIC=ncti")
    assert result.returncode and result.stderr.startswith("error: make -e hides what was typed")


@pytest.mark.parametrize("name", ["a b", "c$d", "e'f", "g:h", "i%j", "k#l", "-m", "\u00e9", "n+1"])
def test_no_profile_has_a_name_that_make_would_take_apart(name, root, monkeypatch):
    shutil.copy(paths.profiles() / "smoke.yaml", paths.profiles() / f"{name}.yaml")
    assert name not in profiles.names() and "smoke" in profiles.names()
    monkeypatch.setenv("NCREPRO_PROFILE", name)
    with pytest.raises(ValueError, match="unknown (PROFILE|repetition)"):
        variables.check()


@pytest.mark.parametrize("arguments", [["--help"], ["make", "none"], ["run", "none"]])
def test_a_command_waits_for_no_library_that_it_does_not_need(arguments, root):
    code = (
        "import sys; sys.argv[1:] = sys.argv[2:]\ntry: import ncrepro.__main__\nexcept SystemExit: "
        "print({'torch', 'pandas', 'scipy', 'sklearn'} & set(sys.modules) or 'none')"
    )
    command = [sys.executable, "-c", code, "-", *arguments]
    process = subprocess.run(
        command,
        env={"NCREPRO_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        cwd=root,
    )
    assert process.stdout.endswith("none\n"), process.stdout + process.stderr


@pytest.mark.usefixtures("bare")
def test_a_place_that_cannot_be_written_is_one_clear_line_before_any_work(make, checkout):
    (checkout / "data" / "results").write_text("a file where a folder should be")
    result = make("all")
    assert result.returncode != 0
    assert "error: data/results/smoke cannot be written" in result.stderr
    assert not list((checkout / "build").rglob("*.ipynb"))


@pytest.mark.usefixtures("bare")
def test_a_disk_that_is_too_full_is_one_clear_line_before_any_work(make, checkout):
    path = checkout / "notebooks/profiles/smoke.yaml"
    path.write_text(path.read_text().replace("disk_gb: 0.2", "disk_gb: 1.0e+9"))
    result = make("all")
    assert result.returncode != 0
    assert "error: profile 'smoke' needs 1000000000.0 GB of disk" in result.stderr
    assert not list((checkout / "build").rglob("*.ipynb"))


def test_a_cluster_that_means_nothing_is_one_clear_line_before_any_work(make, checkout):
    result = make("all", "NCREPRO_CLUSTER=slurm")
    assert result.returncode != 0
    assert "error: NCREPRO_CLUSTER is 'slurm'; it may be an address" in result.stderr
    assert not list((checkout / "build").rglob("*.ipynb"))


def test_results_that_are_missing_are_one_clear_line(root, capsys):
    shutil.copy(REPOSITORY / "notebooks" / "20_supervised.ipynb", root / "notebooks")
    assert pipeline.main(["run", "20_supervised"]) == 1
    assert "data/results/smoke/supervised/accuracies.csv is missing: run" in capsys.readouterr().err


# Killed and started again ---------------------------------------------------------------------------------------------


def tables(root: Path) -> dict[str, bytes]:
    found = (root / "data/results/smoke/time_series").glob("*.csv")
    return {path.name: path.read_bytes() for path in found if not path.name.startswith("seconds")}


def start(root: Path) -> Forked:
    def work() -> int:
        os.setsid()  # so that it can be killed with its workers
        os.environ["NCREPRO_ROOT"] = str(root)
        study = Experiment("time_series", "smoke")
        study.pretrain()
        study.finetune()
        return 0

    return Forked(work)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # pytest's own may be
def test_a_killed_run_started_again_gives_the_tables_of_an_undisturbed_one(root, tmp_path_factory):
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(root / "notebooks", undisturbed / "notebooks")
    assert start(undisturbed).wait() == 0

    cache = root / "data/cache/smoke"
    for n_files in (2, 9):  # killed once while pre-training, once while fine-tuning
        process = start(root)
        while len(list(cache.rglob("*.safetensors"))) < n_files and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, "the run was over before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = len(list(cache.rglob("*.safetensors")))
    assert start(root).wait() == 0
    assert len(list(cache.rglob("*.safetensors"))) > before
    assert tables(root) == tables(undisturbed) != {}
