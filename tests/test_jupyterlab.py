"""Working copies of the notebooks: made once, kept, made anew by name; the committed ones are never touched."""

import json

import pytest

from ncrepro.commands import jupyterlab


def notebook(*sources: str) -> str:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": source} for source in sources]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def notebooks(root):
    for name in ("01_one", "02_two"):
        (root / "notebooks" / f"{name}.ipynb").write_text(notebook(name))
    return root / "notebooks"


def contents(folder):
    return {path.stem: path.read_text() for path in folder.glob("*.ipynb")}


def test_a_copy_keeps_what_its_reader_changed_and_the_committed_notebook_stays(notebooks, capsys):
    committed = contents(notebooks)
    copies = jupyterlab.working_copies()
    assert contents(copies) == committed and not capsys.readouterr().out
    (copies / "01_one.ipynb").write_text(notebook("mine"))
    assert jupyterlab.working_copies() == copies and contents(copies) == committed | {"01_one": notebook("mine")}
    assert (
        "build/lab/01_one.ipynb has other cells than notebooks/01_one.ipynb: `make lab REFRESH=01_one`"
        in capsys.readouterr().out
    )
    assert contents(notebooks) == committed


def test_a_copy_is_made_anew_by_name(notebooks):
    copies = jupyterlab.working_copies()
    for name in ("01_one", "02_two"):
        (copies / f"{name}.ipynb").write_text(notebook("mine"))
    jupyterlab.working_copies(("01_one",))
    assert contents(copies) == contents(notebooks) | {"02_two": notebook("mine")}
    jupyterlab.working_copies(("all",))
    assert contents(copies) == contents(notebooks)


def test_outputs_alone_are_no_difference(notebooks, capsys):
    copies = jupyterlab.working_copies()
    changed = json.loads((copies / "01_one.ipynb").read_text())
    changed["metadata"] = {"kernelspec": {"name": "python3"}}
    (copies / "01_one.ipynb").write_text(json.dumps(changed))
    jupyterlab.working_copies()
    assert not capsys.readouterr().out


def test_an_unknown_notebook_is_named(notebooks):
    with pytest.raises(ValueError, match="unknown notebook '01_on': choose one of .*did you mean '01_one'"):
        jupyterlab.working_copies(("01_on",))


def test_the_course_lies_below_the_notebooks_and_its_pages_come_along(notebooks):
    (notebooks / "course").mkdir()
    (notebooks / "course" / "1_one.ipynb").write_text(notebook("link to ../01_one.ipynb and glossary.md"))
    (notebooks / "course" / "glossary.md").write_text("words")
    copies = jupyterlab.working_copies()
    assert (copies / "course" / "glossary.md").read_text() == "words"
    copy = copies / "course" / "1_one.ipynb"
    copy.write_text(notebook("mine"))
    jupyterlab.working_copies(("01_one",))
    assert copy.read_text() == notebook("mine")
    jupyterlab.working_copies(("course/1_one",))
    assert copy.read_text() == (notebooks / "course" / "1_one.ipynb").read_text()
