"""The course: solutions pass, blanks do not, what is generated is what is committed, and slides need no network."""

import ast
import re
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from nbformat import NotebookNode

from ncrepro.commands import course
from ncrepro.lab import course as lab
from ncrepro.store import paths

COURSE = REPOSITORY / "notebooks" / "course"
SOLUTIONS = sorted((COURSE / "solutions").glob("*.ipynb"))
ids = [path.stem for path in SOLUTIONS]


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def output_text(cell):
    """What a cell printed and ended with; a busy kernel sends one line in several parts."""
    return "".join(o.get("text") or o.data["text/plain"] for o in cell.outputs)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(scope="module", autouse=True)
def _of_the_repository():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("NCREPRO_ROOT", raising=False)
        yield


# Run ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory):
    """Solution and student's notebook of each session after a strict run, with results of nobody at hand."""
    cold = tmp_path_factory.mktemp("cold")
    (cold / "data").mkdir()
    for part in ("notebooks", "data/published", "data/reference", "data/sample"):
        (cold / part).symlink_to(REPOSITORY / part)
    books = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCREPRO_ROOT", str(cold))
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        patch.setenv("PYTHONWARNINGS", "ignore")
        for path in [*SOLUTIONS, *(COURSE / path.name for path in SOLUTIONS)]:
            books[path.parent.name, path.stem] = nbformat.read(path, as_version=4)
            course.run_cells(books[path.parent.name, path.stem], path.parent, allow_errors=True)
    return books


def failed(notebook):
    return {cell.id for cell in code(notebook) if any(o.output_type == "error" for o in cell.outputs)}


@pytest.mark.parametrize("session", ids)
def test_a_solution_passes_every_check_and_says_nothing_on_the_way(notebooks, session):
    notebook = notebooks["solutions", session]
    assert failed(notebook) == set()
    assert [o.text for cell in code(notebook) for o in cell.outputs if o.get("name") == "stderr"] == []
    checks = [cell for cell in code(notebook) if "check" in tags(cell)]
    assert len(checks) >= 5 and all(output_text(cell).endswith(": right\n") for cell in checks)


@pytest.mark.parametrize("session", ids)
def test_a_blank_notebook_fails_at_every_check_and_nowhere_else(notebooks, session):
    notebook = notebooks["course", session]
    assert failed(notebook) == {cell.id for cell in code(notebook) if "check" in tags(cell)}
    errors = [o for cell in code(notebook) for o in cell.outputs if o.output_type == "error"]
    assert {error.ename for error in errors} == {"NotYet"}
    assert all("there is no answer here" in error.evalue for error in errors)


@pytest.mark.parametrize("session", ids)
def test_the_keys_of_five_questions_evaluate(notebooks, session):
    keys = [cell for cell in code(notebooks["solutions", session]) if "key" in tags(cell)]
    assert len(keys) == 5
    assert all(cell.outputs[0].data["text/plain"] in ("'a'", "'b'", "'c'") for cell in keys)


@pytest.mark.parametrize("session", ids)
def test_what_is_shown_is_what_this_code_computes(notebooks, session):
    """The committed outputs of the solutions, in words; pictures may differ by a pixel between versions."""
    committed = nbformat.read(COURSE / "solutions" / f"{session}.ipynb", as_version=4)
    for then, now in zip(code(committed), code(notebooks["solutions", session]), strict=True):
        if tags(then) & {"check", "key"}:
            assert output_text(then) == output_text(now)


# What is committed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOLUTIONS, ids=ids)
def test_what_students_get_is_made_from_the_solution(path):
    for made, content in course.student_files(path).items():
        assert made.read_text(encoding="utf-8") == content, f"{paths.relative(made)}: `make course` writes it again"


@pytest.mark.parametrize("path", SOLUTIONS, ids=ids)
def test_students_see_no_answer_and_no_output_but_still_pictures(path):
    solution, student = nbformat.read(path, as_version=4), nbformat.read(COURSE / path.name, as_version=4)
    quiz = nbformat.read(COURSE / "quizzes" / path.name, as_version=4)
    assert not [cell for cell in student.cells if tags(cell) & {"lecturer", "quiz", "key"}]
    assert sum("solution" in tags(cell) for cell in student.cells) >= 8
    for cell in code(student):
        assert (cell.execution_count is not None) == bool(cell.outputs) == ("widget" in tags(cell))
        assert ("your answer" in cell.source) == ("solution" in tags(cell)) and "# solution" not in cell.source
    assert len(quiz.cells) == 6 and not code(quiz)
    assert [cell for cell in student.cells if "check" in tags(cell)] and len(code(solution)) > len(code(student))


@pytest.mark.parametrize("path", SOLUTIONS, ids=ids)
def test_a_session_is_what_a_lecturer_expects(path):
    cells = nbformat.read(path, as_version=4).cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert all(word in text for word in ("**Question.**", "**After this session**", "**Takes** 90 minutes"))
    assert 27 <= sum(int(minutes) for minutes in re.findall(r"### .*\((\d+) minutes\)", text)) <= 35
    assert sum("slide" in tags(cell) for cell in cells) >= 7 and "## Discussion (15 minutes)" in text
    assert sum("widget" in tags(cell) for cell in cells) == 1
    assert max(len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code") <= 14
    shown = [o.data for cell in code(NotebookNode(cells=cells)) for o in cell.outputs if "data" in o]
    assert all("image/png" in data for data in shown if data["text/plain"].startswith(("<Figure", "<Picture")))
    (widget,) = [cell for cell in cells if "widget" in tags(cell)]
    assert [set(o.data) for o in widget.outputs] == [{"text/plain", "image/png"}]


@pytest.mark.parametrize("path", SOLUTIONS, ids=ids)
def test_no_check_and_no_key_holds_what_was_computed_once(path):
    """No float: what is right is computed when it is asked (trained numbers differ by machine)."""
    for cell in code(nbformat.read(path, as_version=4)):
        if "check" in tags(cell):
            numbers = [node.value for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Constant)]
            assert not [number for number in numbers if isinstance(number, float)], cell.source


def test_links_of_the_course_lead_somewhere():
    for path in [*COURSE.glob("*.md"), *COURSE.rglob("*.ipynb")]:
        if path.suffix == ".ipynb":
            cells = nbformat.read(path, as_version=4).cells
            text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
        else:
            text = path.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


# The parts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source, expected", [
    ("# why\n# solution\na = 1\nb = a + 1\n", "# why\nb = ...  # your answer"),
    ("def f(x):\n    # solution\n    y = x\n    return y", "def f(x):\n    return ...  # your answer"),
    ("# solution\nx = [\n    1,\n]", "x = ...  # your answer"),
])  # fmt: skip
def test_a_blank_keeps_the_name_that_the_check_asks_for(source, expected):
    assert course.blank(source) == expected


@pytest.mark.parametrize(
    "source, message", [("a = 1", "needs a line '# solution'"), ("# solution\nf(1)", "ends in one")]
)
def test_a_cell_that_cannot_be_blanked_is_refused(source, message):
    with pytest.raises(ValueError, match=message):
        course.blank(source)


SERIES = pd.Series({"a": 1.0, "b": 2.0})


@pytest.mark.parametrize("answer, right, message", [
    (1 + 1e-12, 1.0, "right"),
    (np.float64(2), 1.0, "the value differs"),
    (-1.0, 1.0, "the value differs"),
    (np.nan, 1.0, "the value differs"),
    ([1, 2], [1, 2], "right"),
    ([1, 2, 3], [1, 2], "the shape is"),
    ("Top ", "top", "right"),
    ("bottom", "top", "'bottom' is not right"),
    (1, "top", "1 is not right"),
    ({"a"}, {"a"}, "right"),
    ({"a", "c"}, {"a", "b"}, "1 too few and 1 too many"),
    ("a", {"a"}, "a set of names"),
    (SERIES[::-1], SERIES, "right"),
    (SERIES.rename({"a": "c"}), SERIES, "not those that are wanted"),
    ("x", 1.0, "should hold numbers, not str"),
    (..., 1.0, "there is no answer"),
    (None, "top", "there is no answer"),
    ([1.0, ...], [1.0, 2.0], "there is no answer"),
])  # fmt: skip
def test_a_check_says_what_is_wrong_and_raises_only_where_it_is_strict(answer, right, message, capsys, monkeypatch):
    monkeypatch.delenv(lab.STRICT, raising=False)
    lab.check("0.1", answer, right, "Look again.")
    text = capsys.readouterr().out
    assert message in text and text.startswith("0.1: ") and ("Look again." in text) == (message != "right")
    monkeypatch.setenv(lab.STRICT, "1")
    if message == "right":
        lab.check("0.1", answer, right, "")
    else:
        with pytest.raises(lab.NotYet, match="^0.1: "):
            lab.check("0.1", answer, right, "")


def test_a_question_has_one_answer():
    assert lab.key(a=False, b=True, c=np.False_) == "b"
    for options in ({"a": True, "b": True}, {"a": False}):
        with pytest.raises(ValueError, match="one right answer"):
            lab.key(**options)


# Widgets --------------------------------------------------------------------------------------------------------------


def test_a_widget_draws_one_picture_per_change_on_axes_that_stay(monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    from ncrepro.figures import course as pictures

    figures = []
    for name in ("space_with_terms", "crossing_lines", "widths"):
        original = getattr(pictures, name)
        monkeypatch.setattr(pictures, name, lambda *a, draw=original: figures.append(draw(*a)) or figures[-1])
    sliders, buttons, sizes = (
        pictures.collapse_slider(),
        pictures.order_buttons(lab.accuracies("supervised")["digits"].iloc[:6]),
        pictures.pool_slider(),
    )
    changes = [
        (sliders, lambda: setattr(sliders.box.children[0], "value", 0.8)),
        (sliders, lambda: setattr(sliders.box.children[1], "value", 0.6)),
        (buttons, lambda: buttons.box.children[0].children[3].click()),
        (sizes, lambda: setattr(sizes.box.children[1], "value", 15)),
        (sizes, lambda: setattr(sizes.box.children[0], "value", "face")),
    ]
    first = {sliders: figures[0], buttons: figures[1], sizes: figures[2]}
    for live, change in changes:
        before, n = live.picture.value, len(figures)
        change()
        assert len(figures) == n + 1 and live.picture.value != before
        for old, new in zip(first[live].axes, figures[-1].axes, strict=True):
            assert (old.get_xlim(), old.get_ylim()) == (new.get_xlim(), new.get_ylim())
        assert {"image/png", course.WIDGET} <= set(live._repr_mimebundle_())


# Slides ---------------------------------------------------------------------------------------------------------------


class Loads(HTMLParser):
    """What a page loads, and whether it shows code."""

    def __init__(self, page):
        super().__init__()
        self.loaded, self.classes, self.tags = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.classes += (given.get("class") or "").split()
        if tag != "a":
            self.loaded += [given[name] for name in ("src", "href", "data", "srcset") if given.get(name)]


def test_slides_open_without_a_network(root, monkeypatch):
    monkeypatch.setattr(course, "folder", lambda: COURSE)
    pages = course.slides()
    assert [page.stem for page in pages] == ids
    for page in pages:
        text = page.read_text(encoding="utf-8")
        found = Loads(text)
        local = [link for link in found.loaded if not link.startswith("data:")]
        assert local and all((page.parent / link).is_file() for link in local)
        styles = text + "".join((page.parent / link).read_text() for link in local if link.endswith(".css"))
        assert not re.findall(r"(?:url\(|@import|import\(|from)\s*['\"]?https?://", styles)
        assert "jp-CodeMirrorEditor" not in found.classes and "highlight-ipynb" not in found.classes
        assert "math" in found.tags and "MathJax.Hub" not in text and "require(" not in text
        assert found.tags.count("section") >= 14  # reveal.js: a column of slides and the slide in it
        assert not re.search(r"\$[^$\n]*\\[a-z]", re.sub(r"<(style|script).*?</\1>", "", text, flags=re.DOTALL))
