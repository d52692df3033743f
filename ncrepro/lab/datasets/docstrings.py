"""Short English texts with labels, offline: the docstrings of the installed packages, which the lock pins.

===================== ======= ======================================================================================
parameters_sklearn    9       what type a parameter has, told from its description (scikit-learn)
parameters_matplotlib 8       the same (Matplotlib)
sections_numpy        7       another question: which section of a docstring a passage is from (NumPy)
parameters_scipy      8       the target: what type a parameter has (SciPy), 20 texts of each type
===================== ======= ======================================================================================

No text of the target is in a source. Packages are read as source files; none of them is imported. Another version of a
package gives other texts, so the number of classes above is that of the pinned ones.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from ...extraction.samples import Texts
from ...store import fingerprint
from . import train_test
from .builtin.drawing import generator

# Reading docstrings ---------------------------------------------------------------------------------------------------

Passage = tuple[str, str]  # what it is labelled with, and its text

_LEFT_OUT = {"tests", "testing", "_testing", "_lib", "externals", "_vendor", "distutils", "conftest.py"}
_HEADING = re.compile(
    r"^(Parameters|Other Parameters|Attributes|Returns|Yields|Raises|See Also|Notes|References|Examples)\n-+\n", re.M
)
_ENTRY = re.compile(r"^\*{0,2}[\w, *]+? ?: ?(.+)$")  # name : type
_TYPES = {  # type -> how docstrings begin to write it
    "bool": r"\{?(bool|true|false)",
    "int": r"(non-negative )?int",
    "array": r"\{?([\w-]+ )?(numpy\.|np\.)?(nd)?array",
    "float": r"float|double|scalar|number",
    "string": r"str",
    "choice": r"\{?['\"]",
    "function": r"\{?callable|function",
    "dictionary": r"dict",
    "sequence": r"list|tuple|2-tuple|sequence|iterable",
}


@cache
def docstrings(package: str) -> tuple[str, ...]:
    """The docstring of every class and function that has one, in the order of the files."""
    root = Path(find_spec(package).origin).parent
    found = []
    for path in sorted(root.rglob("*.py")):
        if _LEFT_OUT.isdisjoint(path.relative_to(root).parts):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(node):
                    found.append(ast.get_docstring(node))
    return tuple(found)


def sections(docstring: str) -> list[Passage]:
    """(section, passage) of a docstring in NumPy's layout; what stands before the first heading is the Summary."""
    parts = _HEADING.split(docstring)
    return [("Summary", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]


def entries(section: str) -> Iterator[Passage]:
    """(type, description) of each entry ``name : type`` of a section that lists parameters."""
    written, lines = "", []
    for line in [*section.split("\n"), "end"]:
        if line and not line[0].isspace():
            if written:
                yield written, " ".join(lines)
            entry = _ENTRY.match(line)
            written, lines = (entry[1] if entry else ""), []
        else:
            lines.append(line.strip())


def value_type(written: str) -> str | None:
    """The type that a docstring means by ``written``, one of nine; None where it is none of them."""
    return next((name for name, start in _TYPES.items() if re.match(start, written.lower().lstrip("` :~."))), None)


def plain_text(text: str) -> str:
    """A text in one line, without interactive examples and mark-up."""
    text = re.sub(r"^ *(>>>|\.\.\.).*$", "", text, flags=re.M)
    return re.sub(r"[^A-Za-z0-9.,;:()'-]+", " ", text).strip()


def _parameters(package: str) -> Iterator[Passage]:
    for docstring in docstrings(package):
        for section, passage in sections(docstring):
            if section in ("Parameters", "Other Parameters", "Attributes"):
                yield from ((value_type(written), description) for written, description in entries(passage))


def _sections(package: str) -> Iterator[Passage]:
    for docstring in docstrings(package):
        yield from sections(docstring)


@dataclass(frozen=True)
class Corpus:
    """One data set: from which package, by which reading, and how many texts of each class."""

    package: str
    read: Callable[[str], Iterator[Passage]]
    n_train: int  # of each class, at most
    n_test: int
    n_least: int  # a class with fewer texts is left out


CORPORA = {
    "parameters_sklearn": Corpus("sklearn", _parameters, 150, 20, 60),
    "parameters_matplotlib": Corpus("matplotlib", _parameters, 150, 20, 60),
    "sections_numpy": Corpus("numpy", _sections, 180, 20, 60),
    "parameters_scipy": Corpus("scipy", _parameters, 20, 120, 140),
}
NAMES = tuple(CORPORA)
SOURCES, TARGET = NAMES[:-1], NAMES[-1]


def collect(name: str) -> dict[str, list[str]]:
    """Class -> its texts, of four words or more, each once, none of a source for the target; in a seeded order."""
    corpus, seen = CORPORA[name], set()
    if name == TARGET:
        seen.update(text for source in SOURCES for texts in collect(source).values() for text in texts)
    texts = defaultdict(list)
    for label, passage in corpus.read(corpus.package):
        text = plain_text(passage)
        if label and text.count(" ") >= 3 and text not in seen:
            seen.add(text)
            texts[label].append(text)
    order = generator(name, "both")
    return {
        label: [texts[label][i] for i in order.permutation(len(texts[label]))]
        for label in sorted(texts)
        if len(texts[label]) >= corpus.n_least
    }


def split_of(name: str, split: str) -> Texts:
    """One split of a corpus."""
    corpus, collected = CORPORA[name], collect(name)
    texts, labels = train_test.split_texts(collected, split, corpus.n_train, corpus.n_test, generator(name, split))
    return Texts(name, split, texts, labels, tuple(collected))


@lru_cache(maxsize=16)
def load(name: str, split: str) -> Texts:
    """One split of a corpus, read once and then taken from the cache.

    Raises
    ------
    ValueError
        If the name or the split is unknown.
    """
    train_test.check(name, CORPORA, split)
    rests_on = {"code": fingerprint.of(__name__), "versions": content(name)}
    return train_test.cached(Texts, f"texts-{name}", name, split, lambda: split_of(name, split), **rests_on)


@cache
def content(name: str) -> dict[str, str]:
    """What the texts of a corpus depend on beside this code: the versions of the packages whose docstrings are read."""
    return {package: version(package) for package in ("scikit-learn", "numpy", "matplotlib", "scipy")}
