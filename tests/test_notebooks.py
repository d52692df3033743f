"""What every committed notebook must be before anyone opens it."""

import json
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from ncrepro import pipeline

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return json.loads(request.param.read_text())


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_has_one_parameters_cell_that_leaves_the_profile_open(notebook):
    assert "profile" in pipeline.parameter_names(notebook, "it")
    tagged = next(c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))
    assert "".join(tagged["source"]).startswith("profile = None")


def test_no_run_left_its_parameters_in_it(notebook):
    assert not [c for c in notebook["cells"] if "injected-parameters" in c["metadata"].get("tags", [])]


def test_it_was_run_from_top_to_bottom(notebook):
    assert [cell["execution_count"] for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))


def test_no_error_is_saved_in_it(notebook):
    assert not [o for cell in code(notebook) for o in cell["outputs"] if o["output_type"] == "error"]


def test_it_asks_for_the_kernel_that_everybody_has(notebook):
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"


def test_it_holds_no_path_of_a_machine(notebook):
    text = json.dumps({"cells": notebook["cells"]})
    assert not re.search(r"/(home|root|Users|tmp|work|mnt)/\w|[A-Z]:\\\\\\\\Users", text)


def test_its_cells_are_short(notebook):
    assert max(len("".join(cell["source"]).splitlines()) for cell in code(notebook)) <= 25


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_can_be_opened_quickly(path):
    assert path.stat().st_size < 3_000_000


def test_every_parameter_that_the_makefile_passes_is_known_to_its_notebook():
    makefile = (REPOSITORY / "Makefile").read_text()
    passed = re.findall(r": notebooks/(\S+)\.ipynb.*\n((?:\t.*\n)+)", makefile)
    names = [(stem, name) for stem, recipe in passed for name in re.findall(r"-p (\w+)", recipe)]
    assert ("10_train_pool", "pool") in names
    for stem, name in names:
        found = json.loads((REPOSITORY / "notebooks" / f"{stem}.ipynb").read_text())
        assert name in pipeline.parameter_names(found, stem)


def test_every_notebook_is_made_by_the_makefile():
    command = ["make", "--dry-run", "--always-make", "PROFILE=smoke", f"PYTHON={sys.executable}", "all"]
    planned = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        assert f" run notebooks/{path.name} build/smoke/" in planned
