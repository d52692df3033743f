"""Progress: one bar where somebody watches, a few lines in a log, and never on the red stream of a notebook."""

import ast
import io
import sys
from types import SimpleNamespace

import pytest
from conftest import REPOSITORY

from ncrepro.store import progress, trace


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def notebook(monkeypatch):
    """As in the kernel of a notebook that its reader runs."""
    monkeypatch.delenv(trace.FILE, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1)))


def work(n=8, **options):
    return list(progress.through(range(n), "title", n, **options))


def test_a_log_has_the_start_and_the_end_of_quick_work(capsys):
    assert work() == list(range(8))
    assert capsys.readouterr() == ("", "title: 0 of 8\ntitle: 8 of 8, 0 s\n")


def test_a_log_has_each_quarter_of_long_work_once(capsys, monkeypatch):
    monkeypatch.setattr(progress, "APART", 0)
    work(101, unit="models")
    lines = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert lines == [f"title: {n} of 101 models" for n in (0, 26, 51, 76, 101)]


def test_one_line_counts_what_was_there_before(capsys):
    with progress.bar("title", 3, done=3):
        pass
    assert capsys.readouterr().err == "title: 3 of 3, all there\n"


def test_of_a_part_of_other_work_a_log_has_only_quarters(capsys, monkeypatch):
    work(passing=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "APART", 0)
    work(passing=True)
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "title: 2 of 8", "title: 4 of 8", "title: 6 of 8",
    ]  # fmt: skip


def test_nothing_is_printed_where_shown_is_false(capsys):
    assert work(shown=False) == list(range(8))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_moves(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    work()
    assert "\r" in sys.stderr.getvalue() and "8/8" in sys.stderr.getvalue() and capsys.readouterr().out == ""


def test_a_notebook_has_its_bar_on_the_stream_that_is_not_red(notebook, capsys):
    work()
    seen = capsys.readouterr()
    assert seen.err == "" and "8/8" in seen.out.split("\r")[-1]


def test_a_notebook_that_make_runs_has_lines(notebook, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv(trace.FILE, str(tmp_path / "trace"))
    work()
    assert capsys.readouterr() == ("title: 0 of 8\ntitle: 8 of 8, 0 s\n", "")


def test_work_that_fails_is_not_reported_as_ended(capsys):
    with pytest.raises(ZeroDivisionError), progress.bar("title", 2):
        1 / 0  # noqa: B018
    assert capsys.readouterr().err == "title: 0 of 2\n"


def test_nothing_else_of_the_package_draws_bars():
    for path in (REPOSITORY / "ncrepro").rglob("*.py"):
        names = {
            name.partition(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            )
        }  # fmt: skip
        assert "tqdm" not in names or path.name == "progress.py", path
