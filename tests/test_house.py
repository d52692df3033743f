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
    ran = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False", "False"]
