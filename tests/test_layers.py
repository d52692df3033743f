"""The eight rooms of the package: which there are, and that each imports only itself and those below it."""

import ast
import subprocess
import sys

import pytest
from conftest import REPOSITORY

ROOMS = ("metrics", "ranking", "store", "extraction", "lab", "rank_your_own", "commands", "figures")  # from below
PACKAGE = REPOSITORY / "ncrepro"


def imported(path):
    """The modules that a file imports, anywhere in it, as parts: ("ncrepro", "store", "paths")."""
    package = path.relative_to(REPOSITORY).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            yield from (base + (alias.name,) for alias in node.names)


def test_there_are_eight_rooms_and_nothing_beside_them():
    found = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert found == {*ROOMS, "__init__.py", "__main__.py"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_itself_and_those_below_it(room):
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for path in (PACKAGE / room).rglob("*.py"):
        for parts in imported(path):
            if parts[0] == "ncrepro":
                assert parts[1] in allowed, f"{path.relative_to(REPOSITORY)} imports {'.'.join(parts)}"


def test_only_figures_draw():
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] != "figures":
            assert not any(parts[:2] == ("matplotlib", "pyplot") for parts in imported(path)), path


def test_the_metrics_need_four_libraries():
    libraries = {parts[0] for path in (PACKAGE / "metrics").rglob("*.py") for parts in imported(path)}
    assert libraries - set(sys.stdlib_module_names) - {"ncrepro"} <= {"numpy", "scipy", "sklearn", "pandas"}
    code = "import ncrepro.metrics, sys; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["False", "False"]


UNORDERED = ("set", "frozenset")
ORDER_IS_NOTHING = ("sorted", "any", "all", "len", "min", "max", "set", "frozenset")


def test_nothing_goes_through_a_set_in_the_order_that_chance_gives_it():
    """Python orders a set of strings anew in each process: what is drawn or written in that order has other bytes."""

    def is_a_set(node):
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Sub, ast.BitOr, ast.BitAnd, ast.BitXor)):
            return is_a_set(node.left) or is_a_set(node.right)
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNORDERED
        return called or isinstance(node, (ast.Set, ast.SetComp))

    found = []
    for path in sorted((REPOSITORY / "ncrepro").rglob("*.py")):
        tree = ast.parse(path.read_text())
        harmless = {
            id(argument)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ORDER_IS_NOTHING
            for argument in node.args
        }
        for node in ast.walk(tree):
            if isinstance(node, (ast.ListComp, ast.GeneratorExp)) and id(node) not in harmless:
                through = [part.iter for part in node.generators]
            elif isinstance(node, ast.DictComp):
                through = [part.iter for part in node.generators]
            elif isinstance(node, ast.For):
                through = [node.iter]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("list", "tuple", "enumerate"):
                through = node.args
            elif isinstance(node, (ast.List, ast.Tuple)):
                through = [part.value for part in node.elts if isinstance(part, ast.Starred)]
            else:
                continue
            found += [f"{path.relative_to(REPOSITORY)}:{part.lineno}" for part in through if is_a_set(part)]
    assert found == []
