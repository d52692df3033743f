"""The book: what Sphinx makes a site of, and how it looks. `make book` builds it (ncrepro/commands/book.py)."""

import json
import re
from collections.abc import Iterable
from pathlib import PurePath

from sphinx.application import Sphinx

from ncrepro import __version__
from ncrepro.commands import book

project = "ncrepro"
release = __version__
html_title = "Which pre-trained model should I fine-tune?"
root_doc = "README"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]

include_patterns = [
    "*.md",
    "book/*.md",
    "data/README.md",
    "figures/README.md",
    "notebooks/*.ipynb",
    "notebooks/course/**",
]
exclude_patterns = ["**/.*", "build", "data/cache", "data/results", "ncrepro", "tests", "bench"]

# The first page is README.md, as it is read in the repository; it is followed by these.
CONTENTS = {
    "Notebooks": ["notebooks/*"],
    "Course": ["notebooks/course/README", "notebooks/course/*"],
    "Course, quizzes": ["notebooks/course/quizzes/*"],
    "Course, solutions": ["notebooks/course/*/*"],
    "Reference": ["figures/README", "book/api", "book/elsewhere", "data/README", "CONTRIBUTING", "CHANGELOG"],
}

nb_execution_mode = "off"  # the outputs are the committed ones
nb_render_markdown_format = "myst"
nb_merge_streams = True
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False

launch = book.launch_buttons()  # without them there is nothing to say of running it elsewhere
exclude_patterns += [] if launch else ["book/elsewhere.md"]
html_theme = "sphinx_book_theme"
html_theme_options = {"home_page_in_toc": True, "show_toc_level": 2, "navbar_persistent": [], **launch}
html_context = {"default_mode": "auto"}  # light or dark, as the reader likes it
html_static_path = ["static", str(book.mathjax())]
html_css_files = ["book.css"]
mathjax_path = book.mathjax().name


def setup(app: Sphinx) -> None:
    """Ask to change pages as they are read, and what of the code is documented."""
    app.connect("source-read", _read)
    app.connect("autodoc-skip-member", _skip)


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    if page == root_doc:
        source[0] += _contents(app.env.found_docs)
    elif page == "book/elsewhere":
        source[0] = source[0].replace("ADDRESS", launch["repository_url"])
    elif page == "figures/README":
        source[0] = _gallery(source[0])
    elif app.env.doc2path(page).suffix == ".ipynb":
        source[0] = _fold(source[0])


def _contents(pages: Iterable[str]) -> str:
    """Tables of contents for the side bar, in the order above; a part of which there is nothing is left out."""
    text, left = "", sorted(pages)
    for caption, patterns in CONTENTS.items():
        chosen = list(dict.fromkeys(name for pattern in patterns for name in left if PurePath(name).match(pattern)))
        left = [name for name in left if name not in chosen]
        if chosen:
            text += "\n\n```{toctree}\n:hidden:\n:caption: " + "\n".join([caption, "", *chosen]) + "\n```\n"
    return text


def _gallery(index: str) -> str:
    """The index of the figures with each row of its tables as a picture and what is said of it."""
    text, columns = [], []
    for line in index.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not line.startswith("|"):
            text, columns = [*text, line], []
        elif not columns:
            columns = cells
        elif not set(line) <= set("|-: "):
            row = dict(zip(columns, [*cells, *[""] * len(columns)], strict=False))
            name, link = re.fullmatch(r"\[(.+)\]\((.+)\)", row.pop("figure")).groups()
            shows = row.pop("what it shows")
            said = [f"- {column}: {cell}" for column, cell in row.items() if cell.strip("| ")]
            text += [f"### `{name}`", "", f"{shows}", "", f"![{shows}]({link})", "", *said, ""]
    return "\n".join(text)


def _fold(notebook: str) -> str:
    """Cells whose source JupyterLab hides have it folded here too."""
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["metadata"].get("jupyter", {}).get("source_hidden"):
            cell["metadata"].setdefault("tags", []).append("hide-input")
    return json.dumps(content)


def _skip(app: Sphinx, what: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    """The fields of a named tuple say nothing but their number."""
    return True if type(member).__name__ == "_tuplegetter" else None
