"""What every committed notebook must be before anyone opens it."""

import json
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from ncrepro.commands import workflow
from ncrepro.commands.run import parameter_names
from ncrepro.lab import profiles

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
LINK = r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)"  # of Markdown, without what follows #


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return json.loads(request.param.read_text())


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_it_has_one_parameters_cell_that_leaves_the_profile_open(notebook):
    assert "profile" in parameter_names(notebook, "it")
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
    text = re.sub("base64,[A-Za-z0-9+/=]+", "", json.dumps({"cells": notebook["cells"]}))  # pictures say nothing
    assert not re.search(r"/(home|root|Users|tmp|work|mnt)/\w|[A-Z]:\\\\\\\\Users", text)


def test_its_cells_are_short(notebook):
    seen = [cell for cell in code(notebook) if not cell["metadata"].get("jupyter", {}).get("source_hidden")]
    assert max(len("".join(cell["source"]).splitlines()) for cell in seen) <= 25


def test_no_line_is_wider_than_a_page(notebook):
    lines = [line for cell in notebook["cells"] for line in "".join(cell["source"]).splitlines()]
    assert [line for line in lines if len(line) > 100] == []


def test_a_long_cell_that_tells_what_was_found_shows_its_text_alone(notebook):
    found = [i for i, cell in enumerate(notebook["cells"]) if "".join(cell["source"]).startswith("## What was found")]
    for cell in notebook["cells"][found[0] if found else -1 :]:
        if cell["cell_type"] == "code" and len("".join(cell["source"]).splitlines()) > 12:
            assert cell["metadata"]["jupyter"] == {"source_hidden": True}


def test_its_links_lead_somewhere(notebook):
    for cell in notebook["cells"]:
        for target in re.findall(LINK, "".join(cell["source"])):
            there = REPOSITORY / "notebooks" / target
            assert "://" in target or "{" in target or there.exists(), target


def test_other_notebooks_are_named_by_links(notebook):
    names = "|".join(path.stem for path in NOTEBOOKS)
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    assert re.findall(f"`({names})`", text) == []


def test_every_figure_comes_with_words(notebook):
    """A cell that ends with a semicolon shows a picture alone; `style.Described` says what is on it."""
    assert [cell["id"] for cell in code(notebook) if "".join(cell["source"]).rstrip().endswith(");")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_can_be_opened_quickly(path):
    assert path.stat().st_size < 3_000_000


def test_every_notebook_is_a_run_of_the_smoke_profile_and_takes_its_pool():
    runs = workflow.runs(profiles.load("smoke"))
    assert {run.notebook for run in runs} == {path.stem for path in NOTEBOOKS}
    for run in runs:
        known = parameter_names(json.loads(run.source.read_text()), run.notebook)
        assert "pool" in known or not run.pool


def test_a_run_comes_after_those_that_it_needs():
    runs = workflow.runs(profiles.load("smoke"))
    order = list(runs)
    assert all(order.index(other) < order.index(run) for run, before in runs.items() for other in before)
    assert runs[workflow.Run("90_figures")] == tuple(order[:-1])


def test_make_runs_every_notebook():
    command = ["make", "--dry-run", "PROFILE=photos_full", f"PYTHON={sys.executable}", "all"]
    planned = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    for run in workflow.runs(profiles.load("photos_full")):
        assert f"ncrepro run {run.name}\n" in planned
