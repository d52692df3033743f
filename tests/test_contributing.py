"""The steps of CONTRIBUTING.md, followed in a copy to the letter."""

import json
import re
import subprocess
import sys
from textwrap import dedent

import pytest
from conftest import REPOSITORY

GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text()
SECTIONS = dict(part.split("\n", 1) for part in GUIDE.split("\n## ")[1:])
# A step that writes: the file, the line below which the block goes (else the end), and the block.
WRITES = re.compile(r"`([\w./]+\.\w+)`(?:, below `([^`\n]+)`)?[^`\n]*:\n\n {3}```\w+\n(.*?)\n {3}```", re.DOTALL)


@pytest.fixture
def follow(checkout):
    """Do what the steps of a section write, in the checkout."""

    def do(section: str) -> None:
        for file, anchor, block in WRITES.findall(SECTIONS[section]):
            path, block = checkout / file, re.sub("^ {3}", "", block, flags=re.MULTILINE) + "\n"
            if path.suffix == ".ipynb":
                content = json.loads(path.read_text())
                cell = {"cell_type": "code", "metadata": {}, "source": block, "outputs": [], "execution_count": None}
                path.write_text(json.dumps(content | {"cells": [*content["cells"], cell]}))
            elif anchor:
                lines = path.read_text().splitlines(keepends=True)
                (at,) = (i for i, line in enumerate(lines) if line.startswith(anchor))
                path.write_text("".join([*lines[: at + 1], block, *lines[at + 1 :]]))
            else:
                path.write_text(f"{path.read_text()}\n\n{block}" if path.exists() else block)

    return do


@pytest.fixture
def python(checkout):
    """Run code in the checkout; what it prints."""

    def run(code: str, profile: str = "smoke") -> str:
        environment = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(checkout),
            "NCREPRO_PROFILE": profile,
            "MPLBACKEND": "agg",
        }
        process = subprocess.run(
            [sys.executable, "-c", dedent(code)], cwd=checkout, env=environment, capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


def test_the_guide_is_a_page_of_five_steps_each():
    assert list(SECTIONS) == ["A metric", "A data set", "A figure", "A profile"] and len(GUIDE.splitlines()) < 140
    for text in SECTIONS.values():
        assert re.findall("^([0-9]+)[.] ", text, re.MULTILINE) == list("12345")


def test_every_file_that_the_guide_names_is_there_or_is_made():
    made = {file for text in SECTIONS.values() for file in re.findall("New file `([^`]+)`", text)}
    named = set(re.findall(r"`((?:ncrepro|notebooks|tests|data|figures)/[\w./]+\.\w+)`", GUIDE)) - made
    assert len(made) == 3 and {file for file in named if not (REPOSITORY / file).exists()} == set()


def test_a_data_set_is_loaded_by_its_name_and_named_in_a_profile(follow, python, checkout):
    profile = checkout / "notebooks/profiles/smoke.yaml"
    profile.write_text(
        profile.read_text().replace("targets: [digits, signs, textures]", "targets: [digits, signs, textures, rings]")
    )
    code = """
        from ncrepro.commands import step_digests
        from ncrepro.lab import datasets
        from ncrepro.lab.experiment import Experiment
        images = datasets.load("rings", "test")
        targets = {target for _, target, _ in Experiment("supervised").jobs()["finetune"]}
        print(images.images.shape, images.classes, "rings" in targets, "images rings" in step_digests.names())
    """
    with pytest.raises(AssertionError, match="unknown data set 'rings'"):
        python(code)
    follow("A data set")
    assert python(code) == "(432, 3, 32, 32) ('2 rings', '3 rings', '4 rings') True True\n"


def test_a_figure_is_shown_saved_and_listed(follow, python, checkout):
    follow("A figure")
    code = """
        import json
        from pathlib import Path
        notebook = json.loads(Path("notebooks/03_published_numbers.ipynb").read_text())
        cells = ["".join(cell["source"]) for cell in notebook["cells"]]
        names = {"profile": "smoke"}
        exec(next(cell for cell in cells if cell.startswith(("from", "import"))), names)
        print(eval(cells[-1], names).finding)
        from ncrepro.figures import index
        from ncrepro.store import paths
        index._save("smoke", "published_means")
        (entry,) = (entry for entry in index.everything() if entry.name == "published_means")
        print(entry.notebook, entry.drawn_by, (paths.figures("smoke") / "published_means.png").exists())
    """
    finding, entry = python(code).splitlines()
    assert re.match(
        r"\*\*Does not hold\*\*: \(both\) every printed average .* Found: [0-9]+ of [0-9]+ averages hold", finding
    )
    assert entry == "03_published_numbers figures/published.py, published_means True"


def test_a_profile_is_checked_and_planned(follow, python):
    follow("A profile")
    code = """
        from ncrepro.commands import workflow
        from ncrepro.commands.cli import main
        from ncrepro.lab import profiles
        print(main(["check"]), [run.name for run in workflow.runs(profiles.load("mine")) if run.pool], flush=True)
        print(main(["plan"]))
    """
    checked, *plan = python(code, profile="mine").splitlines()
    assert checked == "0 ['10_train_pool--supervised', '11_extract_features--supervised']"
    assert plan[0].startswith("Plan for profile 'mine'") and "14 of 14 jobs to do" in " ".join(plan) and plan[-1] == "0"
