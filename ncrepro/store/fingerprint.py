"""What a result rests on, computed from the code: every definition that a step reaches, and the libraries behind it.

A *root* is ``package.module:name`` (a function, a class, a table), ``package.module`` (all of it), or a piece of code such as a
notebook's cells. From the roots the code is followed by name: functions, classes and top-level tables that are named, in this
package and in ``bench``, also by imports inside functions. Rules that keep this on the safe side:

* Loading a module runs it, so its top-level statements count as soon as it is imported, and so do those of what it imports.
* Of a class that is reached, the methods whose names occur as attributes in what is reached count; all of them where the class
  inherits from a library's class, which may call them.
* A module that is passed around, or imported under a computed name, counts as a whole.

Comments, docstrings and the layout of the code do not count. The versions of all libraries that are imported do.
"""

import ast
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from . import trace

_REPOSITORY = Path(__file__).resolve().parents[2]

# What the fingerprint of a *result* does not look into, and why; `make` looks into all of it.
KEEPING = {
    "ncrepro.store": "keeps results and says what they rest on; computes none",
    "ncrepro.artifacts": "keeps results; computes none",
    "ncrepro.paths": "says where a result lies, not what it is",
    "ncrepro.jobs": "says when and in which process a result is computed; the arithmetic is pinned elsewhere",
    "ncrepro.profiles": "what a profile asks for stands in the result's spec",
    "ncrepro.schema": "refuses what a profile may not say; computes nothing",
}
# Modules of these packages that are imported under a computed name are not looked into in the fingerprint of a *run*: which one it is
# depends on the profile, and whoever imports it, and whoever makes or uses its results, notes the code that this rests on.
REPORTED = ("ncrepro.tasks",)
# Decorators that only enter a function into a list: the function does not run by being listed.
LISTING = {"ncrepro.gallery:figure"}
# Committed data that is read through these functions: its content counts wherever they are reached.
_DATA = {"ncrepro.paths:published": "data/published"}

_DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML", "ot": "POT"}


class Unit(NamedTuple):
    """A piece of code that is reached or not: a module's own statements, a top-level definition, or a method."""

    module: str
    name: str = ""
    method: str = ""


class Reached(NamedTuple):
    """What some roots rest on."""

    units: dict[Unit, ast.AST]
    modules: frozenset[str]  # that are loaded, those without a unit of their own too
    libraries: frozenset[str]  # by the name that is imported
    data: frozenset[str]  # folders of committed data


def of(*roots: str, stops: Iterable[str] = KEEPING) -> str:
    """The fingerprint of ``roots``: it changes when code that they reach changes, or the version of a library does.

    Parameters
    ----------
    *roots : str
        ``package.module:name``, ``package.module``, or code of several lines.
    stops : names of modules and packages
        That are not looked into.

    Raises
    ------
    LookupError
        If there is no such module or name.
    """
    roots, stops = tuple(sorted(set(roots))), tuple(sorted(stops))
    found = _of(roots, stops)
    trace.note("code", {"roots": roots, "stops": stops, "fingerprint": found})
    return found


def root(function) -> str:
    """A function as a root."""
    return f"{function.__module__}:{function.__qualname__}"


@cache
def _of(roots: tuple[str, ...], stops: tuple[str, ...]) -> str:
    found = reach(*roots, stops=stops)
    hasher = hashlib.sha256(".".join(map(str, sys.version_info[:2])).encode())
    for unit in sorted(found.units):
        hasher.update(f"{unit} {ast.dump(found.units[unit])}".encode())
    for library in sorted(found.libraries):
        hasher.update(f"{library} {_version(library)}".encode())
    for folder in sorted(found.data):
        for path in sorted((_REPOSITORY / folder).rglob("*.*")):
            hasher.update(path.name.encode() + path.read_bytes())
    return hasher.hexdigest()[:16]


@cache
def reach(*roots: str, stops: tuple[str, ...] = ()) -> Reached:
    """Everything that ``roots`` reach."""
    walk = _Walk(stops)
    for one in roots:
        walk.begin(one)
    walk.finish()
    return Reached(walk.units, frozenset(walk.loaded), frozenset(walk.libraries), frozenset(walk.data))


class _Walk:
    def __init__(self, stops: tuple[str, ...]):
        self.stops = stops
        self.units: dict[Unit, ast.AST] = {}
        self.loaded: set[str] = set()
        self.libraries: set[str] = set()
        self.data: set[str] = set()
        self.attributes: set[str] = set()  # names that follow a dot in what is reached
        self.classes: list[tuple[str, ast.ClassDef, bool]] = []  # module, class, does a library's class stand above it?

    def begin(self, start: str) -> None:
        if "\n" in start:
            code = _Module("", start, is_package=False)
            self.units[Unit("", "code")] = code.tree
            self.follow(code.tree, code)
            return
        module, _, name = start.partition(":")
        if _module(module) is None:
            raise LookupError(f"there is no module {module!r}")
        if name:
            if not self.attribute(module, name.split(".")[0]):
                raise LookupError(f"module {module!r} has no {name!r}")
        else:
            self.whole(module)

    def finish(self) -> None:
        """Methods, again and again until no more of them are reached."""
        before = -1
        while before != len(self.units):
            before = len(self.units)
            for module, node, everything in list(self.classes):
                for part in node.body:
                    if isinstance(part, _FUNCTIONS) and (
                        everything or part.name in self.attributes or (part.name.startswith("__") and part.name.endswith("__"))
                    ):
                        self.enter(Unit(module, node.name, part.name), part)

    def stopped(self, module: str) -> bool:
        return any(module == stop or module.startswith(f"{stop}.") for stop in self.stops)

    def load(self, module: str) -> None:
        """A module is imported: it and its packages run."""
        found = _module(module)
        if found is None or module in self.loaded or self.stopped(module):
            return
        self.loaded.add(module)
        if "." in module:
            self.load(module.rpartition(".")[0])
        for node in found.statements:
            self.load_imports(node, found)
        for i, node in enumerate(found.own):
            self.enter(Unit(module, "", str(i)), node)
        for name, node in found.definitions.items():
            if any(self.ours(decorator, found) for decorator in node.decorator_list):
                self.attribute(module, name)

    def ours(self, decorator: ast.expr, module: "_Module") -> bool:
        """Does a decorator of this package run, that may do more than list what it decorates?"""
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not isinstance(called, ast.Name):
            return False
        meant = module.imports.get(called.id) or (f"{module.name}:{called.id}" if called.id in module.definitions else None)
        return meant is not None and meant.partition(":")[0].split(".")[0] in trace.OURS and meant not in LISTING

    def load_imports(self, node: ast.AST, module: "_Module") -> None:
        for meant in _imports(node, module).values():
            name, _, attribute = meant.partition(":")
            if name.split(".")[0] not in trace.OURS:
                self.libraries.add(name.split(".")[0])
            else:
                self.load(name)
                if attribute and _module(f"{name}.{attribute}") is not None:
                    self.load(f"{name}.{attribute}")

    def enter(self, unit: Unit, node: ast.AST) -> None:
        if unit not in self.units:
            self.units[unit] = node
            self.follow(node, _module(unit.module))

    def whole(self, module: str) -> None:
        """All of a module, and of the modules below it."""
        if self.stopped(module):
            return
        self.load(module)
        for name in _module(module).definitions:
            self.attribute(module, name)
        self.classes = [(m, node, everything or m == module) for m, node, everything in self.classes]
        for below in _below(module):
            self.whole(below)

    def attribute(self, module: str, name: str) -> bool:
        """``module.name`` is used; False where there is no such thing."""
        if f"{module}:{name}" in _DATA:
            self.data.add(_DATA[f"{module}:{name}"])
        if self.stopped(module):
            return True
        found = _module(module)
        self.load(module)
        if name in found.definitions:
            node = found.definitions[name]
            if isinstance(node, ast.ClassDef):
                self.enter_class(module, node)
            else:
                self.enter(Unit(module, name), node)
        elif name in found.imports:
            self.meant(found.imports[name])
        elif _module(f"{module}.{name}") is not None:
            self.load(f"{module}.{name}")
        elif name not in found.assigned:
            if "__getattr__" not in found.definitions:
                return False
            self.enter(Unit(module, "__getattr__"), found.definitions["__getattr__"])
        return True

    def enter_class(self, module: str, node: ast.ClassDef) -> None:
        if Unit(module, node.name) in self.units:
            return
        frame = ast.ClassDef(node.name, node.bases, node.keywords, [p for p in node.body if not isinstance(p, _FUNCTIONS)],
                             node.decorator_list)  # fmt: skip
        found = _module(module)
        inherits = [base for base in node.bases if not (isinstance(base, ast.Name) and self.is_ours(base.id, found))]
        self.classes.append((module, node, bool(inherits)))
        self.enter(Unit(module, node.name), frame)

    def is_ours(self, name: str, module: "_Module") -> bool:
        return name in module.definitions or module.imports.get(name, "").split(".")[0] in trace.OURS

    def meant(self, meant: str) -> None:
        """What an imported name stands for is used: an attribute of a module of ours, or a module as a whole."""
        module, _, name = meant.partition(":")
        if module.split(".")[0] not in trace.OURS:
            return
        if name and (_module(f"{module}.{name}") is None or name in _module(module).definitions):
            if not self.attribute(module, name):
                self.whole(module)
        else:
            self.whole(f"{module}.{name}" if name else module)

    def follow(self, node: ast.AST, module: "_Module") -> None:
        """Everything that a piece of code names."""
        chained: set[int] = set()
        for part in ast.walk(node):
            self.load_imports(part, module)
            if isinstance(part, ast.Attribute):
                self.attributes.add(part.attr)
                if (target := self.module_of(part.value, module)) is not None:
                    chained.update(map(id, ast.walk(part.value)))
                    if self.module_of(part, module) is None and not self.attribute(target, part.attr):
                        self.whole(target)
            elif isinstance(part, ast.Name) and id(part) not in chained:
                if module.name and part.id in module.definitions:
                    self.attribute(module.name, part.id)
                elif part.id in module.imports:
                    self.meant(module.imports[part.id])
            elif isinstance(part, ast.Call):
                self.computed(part, module)

    def module_of(self, node: ast.expr, module: "_Module") -> str | None:
        """The module of ours that an expression such as ``datasets.builtin`` stands for."""
        if isinstance(node, ast.Name):
            meant = module.imports.get(node.id, "")
        elif isinstance(node, ast.Attribute) and (above := self.module_of(node.value, module)) is not None:
            meant = f"{above}:{node.attr}"
            if meant.partition(":")[2] in _module(above).definitions:
                return None
        else:
            return None
        name, _, attribute = meant.partition(":")
        if name.split(".")[0] not in trace.OURS:
            return None
        whole = f"{name}.{attribute}" if attribute else name
        found = _module(whole)
        if found is None and attribute and _module(name) is not None and attribute in _module(name).imports:
            return self.module_of_meant(_module(name).imports[attribute])
        return whole if found is not None and not (attribute and attribute in _module(name).definitions) else None

    @staticmethod
    def module_of_meant(meant: str) -> str | None:
        whole = meant.replace(":", ".")
        return whole if whole.split(".")[0] in trace.OURS and _module(whole) is not None else None

    def computed(self, call: ast.Call, module: "_Module") -> None:
        """``import_module(f"package.{name}")``: every module that this can mean; methods by a name that is computed: all named so."""
        called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if called == "import_module" and call.args:
            package = _start(call.args[0], module)
            if package is None:
                raise LookupError(f"{module.name}: import_module of a name of which not even the package is written out")
            if package.split(".")[0] in trace.OURS and _module(package) is not None and package not in REPORTED:
                for below in _below(package):
                    self.whole(below)
        elif called == "getattr" and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
            self.attributes.add(call.args[1].value)


def _start(name: ast.expr, module: "_Module") -> str | None:
    """The package that a computed name begins with."""
    if isinstance(name, ast.Constant):
        return str(name.value)
    if isinstance(name, ast.JoinedStr) and name.values:
        first = name.values[0]
        if isinstance(first, ast.Constant):
            return str(first.value).rpartition(".")[0]
        if isinstance(first, ast.FormattedValue) and isinstance(first.value, ast.Name) and first.value.id == "__name__":
            return module.name
    return None


# Modules --------------------------------------------------------------------------------------------------------------

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class _Module:
    """A module's code: its definitions, the names it imports, and the statements of its own."""

    def __init__(self, name: str, code: str, is_package: bool):
        self.name, self.tree, self.is_package = name, _without_docstrings(ast.parse(code)), is_package
        tree = self.tree
        self.statements = list(_statements(tree.body))  # that run when it is loaded, less those inside definitions
        self.definitions = {node.name: node for node in self.statements if isinstance(node, (*_FUNCTIONS, ast.ClassDef))}
        self.own = [node for node in tree.body if not isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Import, ast.ImportFrom))]
        self.assigned = {part.id for node in self.own for part in ast.walk(node) if isinstance(part, ast.Name)}
        self.imports: dict[str, str] = {}
        for node in ast.walk(tree):
            self.imports |= _imports(node, self)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            for field in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)


def _imports(node: ast.AST, module: _Module) -> dict[str, str]:
    """Local name -> what it stands for: ``module`` or ``module:name``."""
    if isinstance(node, ast.Import):
        return {(alias.asname or alias.name.split(".")[0]): (alias.name if alias.asname else alias.name.split(".")[0]) for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        package = node.module or ""
        if node.level:
            parts = module.name.split(".")
            parts = parts[: len(parts) - node.level + module.is_package]
            package = ".".join([*parts, *([package] if package else [])])
        return {(alias.asname or alias.name): f"{package}:{alias.name}" for alias in node.names}
    return {}


@cache
def _module(name: str) -> _Module | None:
    if not name or name.split(".")[0] not in trace.OURS:
        return None
    path = _REPOSITORY.joinpath(*name.split("."))
    for file, is_package in ((path / "__init__.py", True), (path.with_suffix(".py"), False)):
        if file.is_file():
            return _Module(name, file.read_text(encoding="utf-8"), is_package)
    return None


@cache
def _below(package: str) -> tuple[str, ...]:
    folder = _REPOSITORY.joinpath(*package.split("."))
    if not (folder / "__init__.py").is_file():
        return ()
    names = [p.stem for p in folder.glob("*.py")] + [p.parent.name for p in folder.glob("*/__init__.py")]
    return tuple(f"{package}.{name}" for name in sorted(names) if name not in ("__init__", "__main__"))


def modules() -> tuple[str, ...]:
    """Every module of this repository's packages."""

    def of_package(package: str) -> Iterator[str]:
        yield package
        for below in _below(package):
            yield from of_package(below)

    return tuple(module for package in trace.OURS for module in of_package(package))


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *_FUNCTIONS)) and node.body and _is_docstring(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@cache
def _version(library: str) -> str:
    if library in sys.stdlib_module_names:
        return ""
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(library, library))
    except importlib.metadata.PackageNotFoundError:
        return "absent"
