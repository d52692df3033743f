"""What a result rests on, computed from the code: every definition that a step reaches, and the libraries behind it.

A *root* is ``package.module:name`` (a function, a class, a table), ``package.module`` (all of it), or a piece of code
such as a notebook's cells. From the roots the code is followed by name: functions, classes and top-level tables that
are named, in this package and in ``bench``, also by imports inside functions. Rules that keep this on the safe side:

* Loading a module runs it: its top-level statements count as soon as it is imported, as do those of what it imports.
* Of a class that is reached, the methods whose names occur as attributes in what is reached count; all of them where
  the class inherits from a library's class, which may call them.
* A module that is passed around, or imported under a computed name, counts as a whole.

Comments, docstrings and the layout of the code do not count. The versions of all libraries that are imported do.
"""

import ast
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache, cached_property
from typing import NamedTuple

from . import artifacts, paths, trace

# What the fingerprint of a *result* does not look into, and why; `make` looks into all of it.
KEEPING = {
    "ncrepro.store.artifacts": "keeps results; computes none",
    "ncrepro.store.cluster": "says on which machine a result is computed; that it computes alike is checked there",
    "ncrepro.store.cold_notebooks": "says which tables a reader's notebook shows; never so where a result is computed",
    "ncrepro.store.file_digests": "says what data hold; computes no result",
    "ncrepro.store.fingerprint": "says what a result rests on",
    "ncrepro.store.jobs": "says when and in which process a result is computed; the arithmetic is pinned elsewhere",
    "ncrepro.store.manifest": "says what a run rests on",
    "ncrepro.store.paths": "says where a result lies, not what it is",
    "ncrepro.store.schema": "refuses what a profile may not say; computes nothing",
    "ncrepro.store.trace": "watches what is read and written",
    "ncrepro.lab.profiles": "what a profile asks for stands in the result's spec",
}
# Modules of these packages that are imported under a computed name are not looked into in the fingerprint of a *run*:
# which one it is depends on the profile; who imports it, or makes or uses its results, notes what code that rests on.
REPORTED = ("ncrepro.lab.tasks",)
# Decorators that only enter a function into a list: the function does not run by being listed.
LISTING = {"ncrepro.figures.index:figure"}
# Committed data that is read through these functions: its content counts wherever they are reached.
_DATA = {"ncrepro.store.paths:published": "data/published"}

_DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "PyYAML", "ot": "POT"}


class Unit(NamedTuple):
    """A piece of code that is reached or not: one of a module's own statements, a top-level definition, or a method."""

    module: str
    name: str  # of the definition; "" for a statement
    part: str = ""  # the method of a class; the number of a statement


class Mentions(NamedTuple):
    """What a piece of code does to what is reached."""

    digest: str
    attributes: frozenset[str]  # names that follow a dot
    libraries: frozenset[str]  # by the name that is imported
    loads: tuple[str, ...]  # modules of ours that it imports
    uses: tuple[tuple[str, str], ...]  # module of ours, name in it
    wholes: tuple[str, ...]  # modules of ours that are passed around, or imported under a computed name


class Reached(NamedTuple):
    """What some roots rest on."""

    units: frozenset[Unit]
    modules: frozenset[str]  # that are loaded, also those of which nothing is used
    libraries: frozenset[str]
    data: frozenset[str]  # folders of committed data
    code: str  # digest of the units, and of code that is in no module


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
    hasher.update(found.code.encode())
    for library in sorted(found.libraries):
        hasher.update(f"{library} {_version(library)}".encode())
    for folder in sorted(found.data):
        for path in sorted((paths.CHECKOUT / folder).rglob("*.*")):
            hasher.update(path.name.encode() + path.read_bytes())
    return hasher.hexdigest()[:16]


@cache
def reach(*roots: str, stops: tuple[str, ...] = ()) -> Reached:
    """Everything that ``roots`` reach; remembered in the cache until a file of this repository's packages changes."""
    key = hashlib.sha256(json.dumps([sys.version_info[:2], roots, stops]).encode()).hexdigest()
    file = paths.caches() / "reach" / f"{_sources()}-{key[:32]}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        known = json.loads(artifacts.plain_file(file).read_text(encoding="utf-8"))
        units, *sets = (known[field] for field in Reached._fields[:-1])
        return Reached(frozenset(Unit(*unit) for unit in units), *map(frozenset, sets), known["code"])
    found = _reach(roots, stops)
    with suppress(OSError):  # the result is known even if the folder cannot be written
        for old in file.parent.glob("*.json"):
            if not old.name.startswith(_sources()):
                old.unlink(missing_ok=True)
        sets = {name: sorted(part) for name, part in found._asdict().items() if name != "code"}
        artifacts.write(file, json.dumps(sets | {"code": found.code}))
    return found


@cache
def _sources() -> str:
    """Digest of every file of code that can be reached."""
    hasher = hashlib.sha256()
    for package in trace.OURS:
        for path in sorted((paths.CHECKOUT / package).rglob("*.py")):
            hasher.update(f"{path.relative_to(paths.CHECKOUT)} ".encode() + path.read_bytes())
    return hasher.hexdigest()[:32]


def _reach(roots: tuple[str, ...], stops: tuple[str, ...]) -> Reached:
    walk = _Walk(stops)
    for start in roots:
        walk.begin(start)
    walk.finish()
    hasher = hashlib.sha256(" ".join(sorted(walk.digests)).encode())
    for unit in sorted(walk.units):
        hasher.update(f"{unit} {_mentions(unit).digest}".encode())
    return Reached(*map(frozenset, (walk.units, walk.loaded, walk.libraries, walk.data)), hasher.hexdigest())


class _Walk:
    """From the roots through everything that they mention."""

    def __init__(self, stops: tuple[str, ...]):
        self.stops = stops
        self.units: set[Unit] = set()
        self.loaded: set[str] = set()
        self.libraries: set[str] = set()
        self.data: set[str] = set()
        self.digests: set[str] = set()
        self.attributes: set[str] = set()
        self.classes: dict[Unit, bool] = {}  # class -> do all its methods count?
        self.all_of: set[str] = set()

    def begin(self, start: str) -> None:
        if "\n" in start:
            code = _Module("", start, is_package=False)
            mentions = _mentions_of(code.tree, code)
            self.digests.add(mentions.digest)
            self.follow(mentions)
            return
        module, _, name = start.partition(":")
        if _module(module) is None:
            raise LookupError(f"there is no module {module!r}")
        if not name:
            self.whole(module)
        elif not self.use(module, name.split(".")[0]):
            raise LookupError(f"module {module!r} has no {name!r}")

    def finish(self) -> None:
        """Methods, again and again until no more of them are reached."""
        before = -1
        while before != len(self.units):
            before = len(self.units)
            for one, everything in list(self.classes.items()):
                for method in _module(one.module).methods[one.name]:
                    if everything or method in self.attributes or (method.startswith("__") and method.endswith("__")):
                        self.enter(Unit(one.module, one.name, method))

    def stopped(self, module: str) -> bool:
        return any(module == stop or module.startswith(f"{stop}.") for stop in self.stops)

    def load(self, module: str) -> None:
        """A module is imported: it and its packages run."""
        if module in self.loaded or _module(module) is None or self.stopped(module):
            return
        self.loaded.add(module)
        if "." in module:
            self.load(module.rpartition(".")[0])
        found = _module(module)
        libraries, loads, decorated = found.loading
        self.libraries |= libraries
        for other in loads:
            self.load(other)
        for i in range(len(found.own)):
            self.enter(Unit(module, "", str(i)))
        for name in decorated:
            self.use(module, name)

    def enter(self, unit: Unit) -> None:
        if unit not in self.units:
            self.units.add(unit)
            self.follow(_mentions(unit))

    def follow(self, mentions: Mentions) -> None:
        self.attributes |= mentions.attributes
        self.libraries |= mentions.libraries
        for module in mentions.loads:
            self.load(module)
        for module, name in mentions.uses:
            if not self.use(module, name):
                self.whole(module)
        for module in mentions.wholes:
            self.whole(module)

    def use(self, module: str, name: str) -> bool:
        """``module.name`` is used; False where there is no such thing."""
        if f"{module}:{name}" in _DATA:
            self.data.add(_DATA[f"{module}:{name}"])
        if self.stopped(module):
            return True
        found = _module(module)
        self.load(module)
        if name in found.methods:
            one = Unit(module, name)
            self.classes[one] = self.classes.get(one, False) or found.inherits[name] or module in self.all_of
            self.enter(one)
        elif name in found.definitions:
            self.enter(Unit(module, name))
        elif name in found.imports:
            kind, *meant = _meant(found.imports[name])
            if kind == "whole" or (kind == "use" and not self.use(*meant)):
                self.whole(meant[0])
        elif _module(f"{module}.{name}") is not None:
            self.load(f"{module}.{name}")
        elif name not in found.assigned:
            if "__getattr__" not in found.definitions:
                return False
            self.enter(Unit(module, "__getattr__"))
        return True

    def whole(self, module: str) -> None:
        """All of a module, and of the modules below it."""
        if self.stopped(module) or module in self.all_of:
            return
        self.all_of.add(module)
        self.load(module)
        for name in _module(module).definitions:
            self.use(module, name)
        for below in _below(module):
            self.whole(below)


# Modules --------------------------------------------------------------------------------------------------------------

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_DEFINITIONS = (*_FUNCTIONS, ast.ClassDef)


class _Module:
    """A module's code: its definitions, the names it imports, and the statements of its own."""

    def __init__(self, name: str, code: str, is_package: bool):
        self.name, self.tree, self.is_package = name, _without_docstrings(ast.parse(code)), is_package
        self.statements = list(_statements(self.tree.body))  # that run when it is loaded, less those inside definitions
        self.definitions = {node.name: node for node in self.statements if isinstance(node, _DEFINITIONS)}
        self.own = [n for n in self.tree.body if not isinstance(n, (*_DEFINITIONS, ast.Import, ast.ImportFrom))]
        self.assigned = {part.id for node in self.own for part in ast.walk(node) if isinstance(part, ast.Name)}
        self.imports: dict[str, str] = {}
        for node in ast.walk(self.tree):
            self.imports |= _imports(node, self)
        self.methods, self.inherits = {}, {}  # by class: its methods, and whether a class that is not ours is above it
        for name, node in self.definitions.items():
            if isinstance(node, ast.ClassDef):
                self.methods[name] = {part.name: part for part in node.body if isinstance(part, _FUNCTIONS)}
                self.inherits[name] = not all(map(self.is_ours, node.bases))

    def is_ours(self, base: ast.expr) -> bool:
        """Is a class that is inherited from one of ours?"""
        return isinstance(base, ast.Name) and (
            base.id in self.definitions or self.imports.get(base.id, "").split(".")[0] in trace.OURS
        )

    @cached_property
    def loading(self) -> tuple[set[str], tuple[str, ...], tuple[str, ...]]:
        """What importing it also brings: libraries, modules of ours, and definitions under decorators of ours."""
        libraries, loads = _imported(self.statements, self)
        decorated = [name for name, node in self.definitions.items() if any(map(self.runs, node.decorator_list))]
        return libraries, loads, tuple(decorated)

    def runs(self, decorator: ast.expr) -> bool:
        """Is it a decorator of ours, that may do more than list what it decorates?"""
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if not isinstance(called, ast.Name):
            return False
        meant = self.imports.get(called.id) or (f"{self.name}:{called.id}" if called.id in self.definitions else "")
        return meant.partition(":")[0].split(".")[0] in trace.OURS and meant not in LISTING

    def node(self, unit: Unit) -> ast.AST:
        if not unit.name:
            return self.own[int(unit.part)]
        if unit.part:
            return self.methods[unit.name][unit.part]
        node = self.definitions[unit.name]
        if unit.name not in self.methods:
            return node
        frame = [part for part in node.body if not isinstance(part, _FUNCTIONS)]
        return ast.ClassDef(node.name, node.bases, node.keywords, frame, node.decorator_list)


@cache
def _mentions(unit: Unit) -> Mentions:
    module = _module(unit.module)
    return _mentions_of(module.node(unit), module)


def _mentions_of(node: ast.AST, module: _Module) -> Mentions:
    attributes: set[str] = set()
    uses: dict[tuple[str, str], None] = {}
    wholes: dict[str, None] = {}
    parts = list(ast.walk(node))
    chained: set[int] = set()  # names that only begin a chain such as datasets.builtin.generate
    for part in parts:
        if isinstance(part, ast.Attribute):
            attributes.add(part.attr)
            if (target := _module_of(part.value, module)) is not None:
                chained.update(map(id, ast.walk(part.value)))
                if _module_of(part, module) is None:
                    uses[target, part.attr] = None
    for part in parts:
        if isinstance(part, ast.Name) and id(part) not in chained:
            if module.name and part.id in module.definitions:
                uses[module.name, part.id] = None
            elif part.id in module.imports:
                kind, *rest = _meant(module.imports[part.id])
                if kind == "use":
                    uses[tuple(rest)] = None
                elif kind == "whole":
                    wholes[rest[0]] = None
        elif isinstance(part, ast.Attribute) and id(part) not in chained:
            if (target := _module_of(part, module)) is not None:
                wholes[target] = None
        elif isinstance(part, ast.Call):
            called = part.func.attr if isinstance(part.func, ast.Attribute) else getattr(part.func, "id", "")
            if called == "import_module" and part.args:
                wholes |= dict.fromkeys(_computed(part.args[0], module))
            elif called == "getattr" and len(part.args) > 1 and isinstance(part.args[1], ast.Constant):
                attributes.add(part.args[1].value)
    libraries, loads = _imported(parts, module)
    digest = hashlib.sha256(ast.dump(node).encode()).hexdigest()
    return Mentions(digest, frozenset(attributes), frozenset(libraries), loads, tuple(uses), tuple(wholes))


def _module_of(node: ast.expr, module: _Module) -> str | None:
    """The module of ours that an expression such as ``datasets.builtin`` stands for."""
    if isinstance(node, ast.Name):
        return _as_module(module.imports.get(node.id, ""))
    if isinstance(node, ast.Attribute) and (above := _module_of(node.value, module)) is not None:
        found = _module(above)
        if node.attr in found.definitions:
            return None
        return _as_module(found.imports.get(node.attr) or f"{above}:{node.attr}")
    return None


def _as_module(meant: str) -> str | None:
    """``meant`` as a module of ours, if it is one and not something of that name inside its package."""
    package, _, name = meant.partition(":")
    if package.split(".")[0] not in trace.OURS or (name and name in getattr(_module(package), "definitions", ())):
        return None
    whole = f"{package}.{name}" if name else package
    return whole if _module(whole) is not None else None


def _meant(meant: str) -> tuple[str, ...]:
    """What an imported name stands for: ``use`` of a name in a module of ours, a ``whole`` module, or ``nothing``."""
    package, _, name = meant.partition(":")
    if package.split(".")[0] not in trace.OURS:
        return ("nothing",)
    module = _as_module(meant)
    return ("whole", module) if module is not None else ("use", package, name)


def _computed(name: ast.expr, module: _Module) -> tuple[str, ...]:
    """Every module of ours that ``import_module(f"package.{name}")`` can mean."""
    match name:
        case ast.Constant(whole):
            return (whole,) if _module(str(whole)) is not None else ()
        case ast.JoinedStr([ast.Constant(beginning), *_]):
            package = str(beginning).rpartition(".")[0]
        case ast.JoinedStr([ast.FormattedValue(ast.Name("__name__")), *_]):
            package = module.name
        case _:
            raise LookupError(f"{module.name}: import_module of a name of which not even the package is written out")
    return () if package in REPORTED else _below(package)


def _imported(nodes: Iterable[ast.AST], module: _Module) -> tuple[set[str], tuple[str, ...]]:
    """The libraries, and the modules of ours, that some statements import."""
    libraries: set[str] = set()
    loads: dict[str, None] = {}
    for node in nodes:
        for meant in _imports(node, module).values():
            package, _, name = meant.partition(":")
            if package.split(".")[0] not in trace.OURS:
                libraries.add(package.split(".")[0])
            else:
                loads[package] = None
                if name and _module(f"{package}.{name}") is not None:
                    loads[f"{package}.{name}"] = None
    return libraries, tuple(loads)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if not isinstance(node, _DEFINITIONS):
            for field in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, field, []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)


def _imports(node: ast.AST, module: _Module) -> dict[str, str]:
    """Local name -> what it stands for: ``module`` or ``module:name``."""
    if isinstance(node, ast.Import):
        return {
            (alias.asname or alias.name.split(".")[0]): (alias.name if alias.asname else alias.name.split(".")[0])
            for alias in node.names
        }
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
    path = paths.CHECKOUT.joinpath(*name.split("."))
    for file, is_package in ((path / "__init__.py", True), (path.with_suffix(".py"), False)):
        if file.is_file():
            return _Module(name, file.read_text(encoding="utf-8"), is_package)
    return None


@cache
def _below(package: str) -> tuple[str, ...]:
    folder = paths.CHECKOUT.joinpath(*package.split("."))
    if not (folder / "__init__.py").is_file():
        return ()
    names = [p.stem for p in folder.glob("*.py")] + [p.parent.name for p in folder.glob("*/__init__.py")]
    return tuple(f"{package}.{name}" for name in sorted(names) if name not in ("__init__", "__main__"))


def modules() -> tuple[str, ...]:
    """Every module of this repository's packages."""
    found = list(trace.OURS)
    for package in found:  # also those that are added meanwhile
        found += _below(package)
    return tuple(found)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *_DEFINITIONS)) and ast.get_docstring(node, False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


@cache
def _version(library: str) -> str:
    if library in sys.stdlib_module_names:
        return ""
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(library, library))
    except importlib.metadata.PackageNotFoundError:
        return "absent"
