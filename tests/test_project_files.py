"""The files that say what is needed, and of which version this is, agree with each other."""

import ast
import re
import sys
import tomllib

import pytest
import yaml
from conftest import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ncrepro

OF_CONDA = {"pytorch": "torch"}  # conda's name -> PyPI's, where they differ
NOT_OF_PYPI = {"python", "make"}  # what only conda installs
OF_IMPORT = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}  # what is imported -> PyPI's name, where they differ


def requirements(lines) -> dict[str, Requirement]:
    """PyPI's name -> what is asked for; each name once, or always in the same range."""
    found: dict[str, Requirement] = {}
    for requirement in map(Requirement, lines):
        name = canonicalize_name(requirement.name)
        assert found.setdefault(name, requirement).specifier == requirement.specifier, f"{name} in two ranges"
    return found


PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
# Published weights: too large for an environment that everybody installs, so neither in `all`, the lock nor conda's.
WEIGHTS = ("imagenet-lite", "minilm")
OF_WEIGHTS = requirements(line for name in WEIGHTS for line in PROJECT["optional-dependencies"][name])
EXTRAS = {n: lines for n, lines in PROJECT["optional-dependencies"].items() if n not in ("all", *WEIGHTS)}
DECLARED = requirements([*PROJECT["dependencies"], *(line for lines in EXTRAS.values() for line in lines)])
OF_ENVIRONMENT = yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]
(OF_PIP,) = (entry["pip"] for entry in OF_ENVIRONMENT if isinstance(entry, dict))  # what conda-forge lacks
CONDA = dict(line.split(maxsplit=1) for line in (*OF_ENVIRONMENT, *OF_PIP) if isinstance(line, str) and " " in line)
LOCK = [line for line in (REPOSITORY / "requirements.txt").read_text().splitlines() if not line.startswith("#")]


def test_conda_installs_what_pip_installs_in_the_same_ranges():
    assert (
        requirements(
            f"{OF_CONDA.get(name, name)} {range_}" for name, range_ in CONDA.items() if name not in NOT_OF_PYPI
        )
        == DECLARED
    )


def test_conda_takes_a_python_that_the_package_takes():
    assert PROJECT["requires-python"] in CONDA["python"].split(",")
    assert sys.version_info >= tuple(map(int, re.findall("[0-9]+", PROJECT["requires-python"])))


def test_the_extra_named_all_is_all_of_them():
    (all_of_them,) = map(Requirement, PROJECT["optional-dependencies"]["all"])
    assert all_of_them.name == PROJECT["name"] and all_of_them.extras == set(EXTRAS)


def test_the_lock_is_one_solution_of_the_ranges():
    locked = requirements(LOCK)
    assert len(locked) == len(LOCK) and all(re.fullmatch("==[^*,]+", str(r.specifier)) for r in locked.values())
    versions = {name: str(requirement.specifier)[2:] for name, requirement in locked.items()}
    outside = {
        name: versions.get(name) for name, r in DECLARED.items() if versions.get(name, "none") not in r.specifier
    }
    assert outside == {}


def test_what_is_imported_is_declared():
    files = [path for part in ("ncrepro", "bench", "book", "tests") for path in (REPOSITORY / part).rglob("*.py")]
    ours = {"ncrepro", "bench", "mine0", *(path.stem for path in files)}  # a test writes mine0
    imported = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    named = {canonicalize_name(OF_IMPORT.get(name, name)) for name in imported - ours - sys.stdlib_module_names}
    assert len(named) > 20 and named - DECLARED.keys() - OF_WEIGHTS.keys() == set()


@pytest.mark.parametrize("name", ["pyproject.toml", "CITATION.cff", "CHANGELOG.md"])
def test_there_is_one_version(name):
    text = (REPOSITORY / name).read_text()
    if name == "pyproject.toml":
        assert (
            PROJECT["dynamic"] == ["version"]
            and 'version = { attr = "ncrepro.__version__" }' in text
            and "version" not in PROJECT
        )
    elif name == "CITATION.cff":
        assert yaml.safe_load(text)["version"] == ncrepro.__version__
    else:
        assert re.findall("^## ([0-9.]+)", text, re.MULTILINE)[0] == ncrepro.__version__


def test_continuous_integration_runs_the_same_everywhere():
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())["jobs"]
    run = {name: [step["run"] for step in job["steps"] if "run" in step][-1] for name, job in jobs.items()}
    assert run == {"linux": ".ci/run", "macos": "gmake check test"}
    steps = re.findall(
        r"^(?:time|nice) make (?:-C \S+ PYTHON=\S+ )?(.*?)(?: &)?$", (REPOSITORY / ".ci/run").read_text(), re.MULTILINE
    )
    assert steps == ["check", "all", "test", "verify"]


def test_hooks_are_local_and_ask_what_make_check_asks():
    (source,) = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"]
    assert source["repo"] == "local"
    commands = " ".join(hook["entry"] for hook in source["hooks"])
    makefile = (REPOSITORY / "Makefile").read_text()
    for command in ("ruff check", "ruff format --check"):
        assert command in commands and f"-m {command} ." in makefile
