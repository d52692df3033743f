"""What a result rests on, on a small package made for it, and on this one."""

import textwrap

import pytest

from ncrepro.store import fingerprint, paths

PACKAGE = {
    "ncrepro/__init__.py": "",
    "ncrepro/helpers.py": """
        import numpy as np
        SCALE = 2
        def used(x): return SCALE * x
        def unused(x): return x
        """,
    "ncrepro/steps.py": """
        from . import helpers, tables
        from .kinds import Kind, Special
        def step(x): return helpers.used(x)
        def lazy(x):
            from . import late
            return late.answer(x)
        def by_table(name): return tables.BY_NAME[name]()
        def by_method(kind: Kind): return kind.shown()
        def computed(name):
            from importlib import import_module
            return import_module(f"ncrepro.plugins.{name}").run()
        def passed(): return dir(helpers)
        """,
    "ncrepro/late.py": "def answer(x): return x",
    "ncrepro/tables.py": """
        def one(): return 1
        BY_NAME = {"one": one}
        """,
    "ncrepro/kinds.py": """
        import collections
        class Kind:
            def shown(self): return 1
            def hidden(self): return 2
            def __len__(self): return 3
        class Special(collections.UserDict):
            def called_by_a_library(self): return 4
        def special(): return Special()
        """,
    "ncrepro/plugins/__init__.py": "",
    "ncrepro/plugins/first.py": "def run(): return 1",
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A function that writes the package with some files changed and gives the fingerprint of some roots."""
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path)
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))

    def of(*roots, changed=None, **options):
        for name, code in (PACKAGE | (changed or {})).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(textwrap.dedent(code))
        clear()
        return fingerprint.of(*roots, **options)

    yield of
    clear()


def clear():
    for function in (
        fingerprint._of,
        fingerprint.reach,
        fingerprint._sources,
        fingerprint._mentions,
        fingerprint._module,
        fingerprint._below,
    ):
        function.cache_clear()


def edited(file, old, new):
    assert old in PACKAGE[file]
    return {file: PACKAGE[file].replace(old, new)}


@pytest.mark.parametrize(
    ("root", "file", "old", "new"),
    [
        ("ncrepro.steps:step", "ncrepro/steps.py", "helpers.used(x)", "helpers.used(x) + 1"),
        ("ncrepro.steps:step", "ncrepro/helpers.py", "SCALE * x", "SCALE + x"),
        ("ncrepro.steps:step", "ncrepro/helpers.py", "SCALE = 2", "SCALE = 3"),
        ("ncrepro.steps:step", "ncrepro/tables.py", 'BY_NAME = {"one": one}', 'BY_NAME = {"one": one, "two": one}'),
        ("ncrepro.steps:lazy", "ncrepro/late.py", "return x", "return -x"),
        ("ncrepro.steps:by_table", "ncrepro/tables.py", "return 1", "return 2"),
        ("ncrepro.steps:by_method", "ncrepro/kinds.py", "return 1", "return 9"),
        ("ncrepro.steps:by_method", "ncrepro/kinds.py", "return 3", "return 9"),
        ("ncrepro.kinds:special", "ncrepro/kinds.py", "return 4", "return 9"),
        ("ncrepro.steps:computed", "ncrepro/plugins/first.py", "return 1", "return 2"),
        ("ncrepro.steps:passed", "ncrepro/helpers.py", "def unused(x): return x", "def unused(x): return -x"),
        ("ncrepro.late", "ncrepro/late.py", "return x", "return -x"),
        ("from ncrepro import steps\nsteps.step(1)\n", "ncrepro/helpers.py", "SCALE * x", "SCALE + x"),
        ("import ncrepro.late\nncrepro.late.answer(1)\n", "ncrepro/late.py", "return x", "return -x"),
    ],
)
def test_a_change_of_what_is_used_changes_the_fingerprint(package, root, file, old, new):
    assert package(root, changed=edited(file, old, new)) != package(root)


@pytest.mark.parametrize(
    ("root", "file", "old", "new"),
    [
        ("ncrepro.steps:step", "ncrepro/helpers.py", "def unused(x): return x", "def unused(x): return -x"),
        ("ncrepro.steps:step", "ncrepro/late.py", "return x", "return -x"),
        ("ncrepro.steps:by_method", "ncrepro/kinds.py", "return 2", "return 9"),
        ("ncrepro.steps:step", "ncrepro/helpers.py", "SCALE = 2", "SCALE = 2  # twice"),
        (
            "ncrepro.late:answer",
            "ncrepro/late.py",
            "def answer(x): return x",
            'def answer(x):\n    """The answer."""\n\n    return x',
        ),
        (
            "ncrepro.late:answer",
            "ncrepro/late.py",
            "def answer(x): return x",
            '"""A module."""\n\ndef answer(x): return (x)',
        ),
    ],
)
def test_a_change_of_anything_else_does_not(package, root, file, old, new):
    assert package(root, changed=edited(file, old, new)) == package(root)


def test_what_is_reached_is_remembered_until_a_file_of_code_changes(package, tmp_path, monkeypatch):
    first = package("ncrepro.steps:step")
    known = fingerprint.reach("ncrepro.steps:step", stops=tuple(sorted(fingerprint.KEEPING)))
    (file,) = (tmp_path / "data/cache/reach").glob("*.json")

    def never(*_):
        raise AssertionError("the code was followed again")

    with monkeypatch.context() as patch:
        patch.setattr(fingerprint, "_reach", never)
        assert package("ncrepro.steps:step") == first
        assert fingerprint.reach("ncrepro.steps:step", stops=tuple(sorted(fingerprint.KEEPING))) == known
        with pytest.raises(AssertionError, match="followed again"):
            package("ncrepro.steps:step", changed=edited("ncrepro/late.py", "return x", "return -x"))
    file.write_text("{")  # torn
    assert package("ncrepro.steps:step") == first
    package("ncrepro.steps:step", changed=edited("ncrepro/late.py", "return x", "return -x"))
    assert len(list((tmp_path / "data/cache/reach").glob("*.json"))) == 1 and not file.exists()


def test_what_is_stopped_at_does_not_count(package):
    change = edited("ncrepro/helpers.py", "SCALE * x", "SCALE + x")
    stops = ["ncrepro.helpers"]
    assert package("ncrepro.steps:step", changed=change, stops=stops) == package("ncrepro.steps:step", stops=stops)


def test_the_version_of_a_library_counts(package, monkeypatch):
    before = package("ncrepro.steps:step")
    monkeypatch.setattr(fingerprint, "_version", lambda library: "99" if library == "numpy" else "1")
    assert package("ncrepro.steps:step") != before


def test_an_unknown_root_is_refused(package):
    with pytest.raises(LookupError, match="no module 'ncrepro.step'"):
        package("ncrepro.step:step")
    with pytest.raises(LookupError, match="has no 'stp'"):
        package("ncrepro.steps:stp")


# This package ---------------------------------------------------------------------------------------------------------


def test_training_does_not_rest_on_metrics_rankings_or_figures():
    stops = (*fingerprint.KEEPING, "ncrepro.lab.datasets")
    for task in (
        "classification",
        "segmentation",
        "selfsupervised",
        "text",
        "time_series",
        "modalities",
        "full_size",
        "imagenet",
    ):
        for step in ("pretrain", "finetune", "extract"):
            loaded = fingerprint.reach(f"ncrepro.lab.tasks.{task}:{step}", stops=stops).modules
            assert not {m for m in loaded if m.startswith(("ncrepro.metrics", "ncrepro.ranking", "ncrepro.figures"))}


def test_one_figure_does_not_rest_on_another():
    units = fingerprint.reach("ncrepro.figures.supervised:ncti_table1", stops=()).units
    names = {unit.name for unit in units if unit.module == "ncrepro.figures.supervised"}
    assert {"ncti_table1", "_table1"} <= names and "face_table1" not in names
    assert not {unit for unit in units if unit.module == "ncrepro.figures.ablations"}


def test_every_stop_exists():
    for module in (*fingerprint.KEEPING, *fingerprint.REPORTED):
        assert module in fingerprint.modules()
    for name in (*fingerprint.LISTING, *fingerprint._DATA):
        assert fingerprint.reach(name, stops=())
