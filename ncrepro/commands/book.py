"""The book: notebooks with their committed outputs, course, figures and interface, as a site that needs no network."""

import re
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from ..store import paths

NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx-mathjax-offline")  # as Python finds them


def build() -> Path:
    """Build the whole site again into ``build/book``, and return its first page.

    Raises
    ------
    ValueError
        If a package is missing.
    OSError
        If Sphinx warns of anything; its warnings are printed above.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ValueError(f"the book needs {', '.join(missing)}: pip install -e '.[book]'")
    from sphinx.cmd.build import build_main  # only this command needs it

    site = paths.build("book")
    site.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=site.parent, prefix="book-") as folder:
        made = Path(folder) / "site"
        options = ["-q", "-W", "--keep-going", "-c", str(paths.root() / "book"), "-d", f"{folder}/read"]
        if build_main([*options, str(paths.root()), str(made)]):
            raise OSError("the book has faults: Sphinx names them above")
        shutil.copy(made / "README.html", made / "index.html")  # what a server shows first
        shutil.rmtree(site, ignore_errors=True)
        made.rename(site)
    return site / "index.html"


def mathjax() -> Path:
    """The one file of MathJax that writes formulas without fonts or other files; it comes with a package."""
    return Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / "tex-svg-full.js"


def launch_buttons() -> dict:
    """What the theme needs for its buttons to Binder and Colab; nothing unless the repository is on GitHub."""
    address = repository(_git("remote", "get-url", "origin"))
    if address is None:
        print("no launch buttons: the remote `origin` of this repository is not on GitHub, or there is none")
        return {}
    published = _git("rev-parse", "--abbrev-ref", "origin/HEAD").removeprefix("origin/")
    return {
        "repository_url": address,
        "repository_branch": published or _git("branch", "--show-current"),
        "path_to_docs": "",
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def repository(remote: str) -> str | None:
    """The page on GitHub of a remote, however that is written; None if it is elsewhere.

    Examples
    --------
    >>> repository("git@github.com:owner/name.git")
    'https://github.com/owner/name'
    >>> repository("/srv/git/name.git")
    """
    found = re.fullmatch(r"(?:https://|(?:ssh://)?git@)github\.com[/:]([\w.-]+/[\w.-]+?)(?:\.git)?/?", remote)
    return f"https://github.com/{found[1]}" if found else None


def _git(*arguments: str) -> str:
    """What git answers; nothing where it cannot answer."""
    ran = subprocess.run(["git", *arguments], cwd=paths.root(), capture_output=True, text=True)
    return ran.stdout.strip() if ran.returncode == 0 else ""
