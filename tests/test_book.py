"""The book: every page is there and needs nothing from elsewhere; what Sphinx warns of stops it."""

import doctest
import json
import re
import shutil
import subprocess
import sys
from html import unescape

import pytest
from conftest import REPOSITORY

from ncrepro import metrics, ranking
from ncrepro.commands import book

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


def text(page):
    return unescape(re.sub("<[^>]+>", "", page.read_text()))


def test_every_notebook_is_a_page_with_its_title_and_its_pictures(site):
    for notebook in NOTEBOOKS:
        content = json.loads(notebook.read_text())
        page = site / "notebooks" / f"{notebook.stem}.html"
        title = "".join(content["cells"][0]["source"]).splitlines()[0].removeprefix("# ")
        assert title in text(page)
        pictures = sum(
            "image/png" in output.get("data", {}) for cell in content["cells"] for output in cell.get("outputs", ())
        )
        assert len(re.findall(r'<img [^>]*src="\.\./_images/', page.read_text())) >= pictures


def test_the_first_page_leads_to_every_other(site):
    first = (site / "index.html").read_text()
    for page in ("figures/README", "book/api", "data/README", *(f"notebooks/{path.stem}" for path in NOTEBOOKS)):
        assert f'href="{page}.html"' in first, page
    for path in (REPOSITORY / "notebooks" / "course").glob("*.ipynb"):
        assert f'href="notebooks/course/{path.stem}.html"' in first, path.name


def test_everything_public_is_documented(site):
    api = (site / "book" / "api.html").read_text()
    for module in (metrics, ranking):
        for name in set(module.__all__) - {"collapse"}:
            assert f'id="{module.__name__}.{name}"' in api, name
    assert 'id="ncrepro.rank"' in api and 'id="ncrepro.metrics.collapse.nc1"' in api
    assert "Alias for field number" not in api


def test_the_index_of_figures_shows_them(site):
    page = (site / "figures" / "README.html").read_text()
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)/", (REPOSITORY / "figures" / "README.md").read_text(), re.MULTILINE)
    assert len(rows) > 50 and page.count("<img ") >= len(rows) and "<table" not in page


def test_a_cell_whose_source_is_hidden_in_jupyterlab_is_folded(site):
    for notebook in NOTEBOOKS:
        hidden = sum(
            bool(cell["metadata"].get("jupyter", {}).get("source_hidden"))
            for cell in json.loads(notebook.read_text())["cells"]
        )
        assert (site / "notebooks" / f"{notebook.stem}.html").read_text().count("tag_hide-input") == hidden


def test_formulas_are_written_by_a_file_of_the_book(site):
    assert (site / "_static" / book.mathjax().name).stat().st_size > 1e6
    assert "mathjax@" not in "".join(page.read_text() for page in site.rglob("*.html"))


@pytest.fixture
def small(root):
    """A compendium of one notebook."""
    shutil.copytree(REPOSITORY / "book", root / "book", ignore=shutil.ignore_patterns("api.md", "__pycache__"))
    (root / "README.md").write_text("# One\n")
    cells = [{"cell_type": "markdown", "metadata": {}, "source": "# Two\n\n[there](../README.md)"}]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (root / "notebooks" / "00_two.ipynb").write_text(json.dumps(notebook))
    return root


def make_small():
    """In a process of its own, since Sphinx changes the one that it runs in."""
    command = [sys.executable, "-W", "ignore", "-m", "ncrepro", "book"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


def set_remote(root, remote):
    subprocess.run(["git", "init", "-q", "-b", "trunk"], cwd=root, check=True)
    subprocess.run(["git", "remote", "add", "origin", remote], cwd=root, check=True)


def test_a_warning_is_an_error_and_the_last_site_stays(small):
    first = make_small()
    assert first.returncode == 0 and first.stdout.endswith("written: build/book/index.html\n"), first.stderr
    assert "no launch buttons" in first.stdout
    before = {path: path.read_bytes() for path in (small / "build" / "book").rglob("*.html")}
    assert small / "build/book/notebooks/00_two.html" in before
    (small / "README.md").write_text("# One\n\n[nowhere](nowhere.md#there)\n")
    second = make_small()
    assert second.returncode == 1 and "error: the book has faults" in second.stderr and "nowhere.md" in second.stderr
    assert before == {path: path.read_bytes() for path in (small / "build" / "book").rglob("*.html")}
    assert [path.name for path in (small / "build").iterdir()] == ["book"]


def test_a_notebooks_page_opens_it_on_binder_and_on_colab(small):
    set_remote(small, "git@github.com:owner/name.git")
    process = make_small()
    assert process.returncode == 0 and "no launch buttons" not in process.stdout, process.stderr
    page = unescape((small / "build/book/notebooks/00_two.html").read_text())
    assert "https://mybinder.org/v2/gh/owner/name/trunk?urlpath=lab/tree/notebooks/00_two.ipynb" in page
    assert "https://colab.research.google.com/github/owner/name/blob/trunk/notebooks/00_two.ipynb" in page
    assert "git clone --quiet https://github.com/owner/name ncrepro" in text(small / "build/book/book/elsewhere.html")


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://github.com/owner/name.git", "https://github.com/owner/name"),
        ("git@github.com:owner/some.name.git", "https://github.com/owner/some.name"),
        ("ssh://git@github.com/owner/name", "https://github.com/owner/name"),
        ("https://github.com.elsewhere.org/owner/name", None),
        ("https://git.elsewhere.org/owner/name.git", None),
        ("/srv/git/name.git", None),
        ("", None),
    ],
)
def test_launch_buttons_lead_to_the_repository_or_are_not_there(remote, page, root, capsys):
    assert book.repository(remote) == page
    if remote:
        set_remote(root, remote)
    options = book.launch_buttons()
    if page is None:
        assert options == {} and "no launch buttons" in capsys.readouterr().out
    else:
        assert options["repository_url"] == page and options["repository_branch"] == "trunk"
        assert options["launch_buttons"].keys() == {"binderhub_url", "colab_url", "notebook_interface"}


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(book, "find_spec", lambda name: None if name == "myst_nb" else name)
    with pytest.raises(ValueError, match=r"^the book needs myst_nb: pip install -e '\.\[book\]'$"):
        book.build()


def test_examples_run():
    assert doctest.testmod(book).failed == 0


def test_binder_finds_what_it_looks_for():
    after = REPOSITORY / "postBuild"
    assert (REPOSITORY / "environment.yml").exists() and after.stat().st_mode & 0o111
    assert not any((REPOSITORY / folder).exists() for folder in ("binder", ".binder"))  # they would hide both
