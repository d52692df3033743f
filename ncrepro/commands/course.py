"""The course, from one solution notebook per session: what students fill in, the quiz, and the slides.

Tags of a solution's cells say what becomes of them: ``solution`` (blank for students from the line ``# solution`` on),
``check``, ``lecturer`` (not for students), ``quiz`` and ``key`` (question and answer), ``widget`` (its still picture is
kept), ``slide`` (a new slide) and ``on_slide`` (on the same one).
"""

import ast
import json
import os
import re
import shutil
import textwrap
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from traitlets.config import Config

from ..lab.course import STRICT
from ..store import artifacts, paths
from .run import KERNEL, NotebookFailed, folder_of_sockets, tidy

MARKER = "# solution\n"
WIDGET = "application/vnd.jupyter.widget-view+json"  # needs a live kernel


def folder() -> Path:
    """Where the course lies."""
    return paths.notebooks() / "course"


def solutions() -> list[Path]:
    """The notebooks that are written by hand, one per session."""
    return sorted((folder() / "solutions").glob("*.ipynb"))


def student_files(solution: Path) -> dict[Path, str]:
    """File -> content of what students get of a session: the notebook and the quiz."""
    whole = nbformat.read(solution, as_version=4)
    return {folder() / solution.name: _text(student(whole)), folder() / "quizzes" / solution.name: _text(quiz(whole))}


def make() -> None:
    """Run every solution, every check strict, and write what students get of it."""
    for solution in solutions():
        print(f"runs: {paths.relative(solution)}", flush=True)
        execute(solution)
        for path, content in student_files(solution).items():
            artifacts.write(path, content)


def student(solution: NotebookNode) -> NotebookNode:
    """A session as a student gets it: solutions blank, nothing run, no notes for the lecturer, no quiz."""
    kept = []
    for cell in solution.cells:
        tags = _tags(cell)
        if tags & {"lecturer", "quiz", "key"}:
            continue
        if cell.cell_type == "code":
            outputs = cell.outputs if "widget" in tags else []
            source = blank(cell.source) if "solution" in tags else cell.source
            count = cell.execution_count if outputs else None  # nbval refuses outputs of what was never run
            cell = NotebookNode({**cell, "source": source, "outputs": outputs, "execution_count": count})
        else:
            cell = NotebookNode({**cell, "source": cell.source.replace("](../", "](")})  # a folder further up
        kept.append(cell)
    return _notebook(kept)


def blank(source: str) -> str:
    """A cell without what stands below ``# solution``: its last statement keeps its name, or its ``return``.

    Raises
    ------
    ValueError
        If the cell has no such line, or ends neither in ``name = ...`` nor in ``return ...``.
    """
    above, found, below = source.partition(MARKER)
    if not found:
        raise ValueError(f"a cell tagged 'solution' needs a line '# solution', this one has none: {source[:60]!r}")
    last = ast.parse(textwrap.dedent(below)).body[-1]
    if isinstance(last, ast.Return):
        return f"{above}return ...  # your answer"
    if isinstance(last, ast.Assign) and len(last.targets) == 1:
        return f"{above}{ast.unparse(last.targets[0])} = ...  # your answer"
    raise ValueError(f"a solution ends in one assignment or in return, this one does not: {source[-60:]!r}")


def quiz(solution: NotebookNode) -> NotebookNode:
    """The questions of a session without their key."""
    title = solution.cells[0].source.splitlines()[0]
    head = f"{title} (quiz)\n\nOne answer is right in each question. Ten minutes; nothing has to be computed."
    cells = [nbformat.v4.new_markdown_cell(head, id="quiz")]
    return _notebook(cells + [cell for cell in solution.cells if "quiz" in _tags(cell)])


def execute(solution: Path) -> None:
    """Run a solution notebook, every check strict, and keep its outputs in it: of a widget its still picture.

    Raises
    ------
    NotebookFailed
        If a cell raises; the notebook stays as it was.
    """
    from nbclient.exceptions import CellExecutionError  # takes half a second to import

    whole = nbformat.read(solution, as_version=4)
    try:
        run_cells(whole, solution.parent)
    except CellExecutionError as error:
        raise NotebookFailed(f"{paths.relative(solution)}: {error.ename}: {error.evalue}; it stays as it was") from None
    for cell in whole.cells:
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET, None)
    artifacts.write(solution, _text(whole))


def run_cells(notebook: NotebookNode, cwd: Path, **options) -> None:
    """Execute a notebook in place, its kernel in the folder ``cwd``; ``options`` are nbclient's."""
    from nbclient import NotebookClient  # as above

    environment = os.environ | {STRICT: "1"}
    with folder_of_sockets() as sockets:
        private = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})  # no open network ports
        client = NotebookClient(notebook, resources={"metadata": {"path": str(cwd)}}, config=private, **options)
        client.execute(env=environment)


# Slides ---------------------------------------------------------------------------------------------------------------

# nbconvert's page of reveal.js without what it loads from elsewhere: jQuery, RequireJS, Mermaid, MathJax, web fonts.
OFFLINE = """{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block footer_js -%}
<script src="reveal/dist/reveal.js"></script>
<script>
Reveal.initialize({hash: true, slideNumber: "c/t", transition: "none", width: 1280, height: 720, center: false});
</script>
{%- endblock -%}"""


def slides() -> list[Path]:
    """Write the slides of every session to ``build/slides``, where they open without a network; the files."""
    from nbconvert import SlidesExporter  # takes a second to import

    target, made = paths.build("slides"), []
    shutil.copytree(folder() / "reveal", target / "reveal", dirs_exist_ok=True)
    exporter = SlidesExporter(
        raw_template=OFFLINE,
        reveal_url_prefix="reveal",
        reveal_theme="course",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    for solution in solutions():
        page, _ = exporter.from_notebook_node(slide_cells(nbformat.read(solution, as_version=4)))
        made.append(target / f"{solution.stem}.html")
        artifacts.write(made[-1], page)
        print(f"written: {paths.relative(made[-1])}")
    return made


def slide_cells(solution: NotebookNode) -> NotebookNode:
    """The cells that are shown on slides, with their outputs, and formulas as MathML, which browsers know."""
    kept = []
    for cell in solution.cells:
        tags = _tags(cell)
        if tags & {"slide", "on_slide"}:
            kind = "slide" if "slide" in tags else "-"
            cell = NotebookNode(cell, metadata=NotebookNode(slideshow={"slide_type": kind}))
            if cell.cell_type == "markdown":
                cell.source = with_mathml(re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", cell.source))  # no links
            kept.append(cell)
    return _notebook(kept)


def with_mathml(markdown: str) -> str:
    """Markdown with each ``$...$`` and ``$$...$$`` as MathML."""
    from latex2mathml.converter import convert

    markdown = re.sub(r"\$\$(.+?)\$\$", lambda m: convert(m[1], display="block"), markdown, flags=re.DOTALL)
    return re.sub(r"\$(.+?)\$", lambda m: convert(m[1]), markdown, flags=re.DOTALL)


# Cells ----------------------------------------------------------------------------------------------------------------


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def _notebook(cells: list[NotebookNode]) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def _text(notebook: NotebookNode) -> str:
    return tidy(json.loads(nbformat.writes(notebook)))
