"""Working copies of the notebooks for JupyterLab: what is committed cannot be lost by opening it.

A copy stays from one opening to the next, with all that its reader has changed, until its name is given in ``REFRESH``.
"""

from pathlib import Path

from ..store import artifacts, paths
from ..store.schema import refuse_unknown
from .workflow import read_notebook


def working_copies(refresh: tuple[str, ...] = ()) -> Path:
    """Copy the notebooks that are not there yet into ``build/lab``, say which copies differ, and return the folder.

    Parameters
    ----------
    refresh : names of notebooks (``20_supervised``, ``course/1_what_a_score_sees``), or ``("all",)``
        Copies to make again; changes in them are lost.

    Raises
    ------
    ValueError
        If there is no such notebook.
    """
    notebooks = {_name(path): path for path in sorted(paths.notebooks().rglob("*.ipynb")) if ".ipynb_" not in str(path)}
    for name in refresh:
        refuse_unknown("notebook", name, [*notebooks, "all"])
    folder = paths.build("lab")
    for page in paths.notebooks().rglob("*.md"):  # that the notebooks link to
        artifacts.write(folder / page.relative_to(paths.notebooks()), page.read_bytes())
    for name, notebook in notebooks.items():
        copy = folder / notebook.relative_to(paths.notebooks())
        if not copy.exists() or name in refresh or "all" in refresh:
            artifacts.write(copy, notebook.read_bytes())
        elif _sources(copy) != _sources(notebook):
            other = f"{paths.relative(copy)} has other cells than {paths.relative(notebook)}"
            print(f"{other}: `make lab REFRESH={name}` copies it anew")
    return folder


def _name(notebook: Path) -> str:
    return notebook.relative_to(paths.notebooks()).with_suffix("").as_posix()


def _sources(notebook: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in read_notebook(notebook)["cells"]]
