"""The examples in the docstrings of the metrics give what they print, and every public metric has one."""

import doctest
import importlib
import pkgutil

import pytest

from ncrepro import metrics

MODULES = [name for _, name, _ in pkgutil.iter_modules(metrics.__path__, "ncrepro.metrics.")]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_give_what_they_print(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize(
    "name", [name for name in metrics.__all__ if not name.endswith("Terms") and name != "collapse"]
)
def test_everything_public_has_an_example(name):
    assert doctest.DocTestFinder(recurse=False).find(getattr(metrics, name))[0].examples


@pytest.mark.parametrize("name", ["nc1", "nc2", "nc2_a", "nc3", "nc4"])
def test_so_has_every_measure_of_collapse(name):
    assert doctest.DocTestFinder(recurse=False).find(getattr(metrics.collapse, name))[0].examples
