import ast
import json
import os
import re
import subprocess
import sys

import pytest
from conftest import REPOSITORY

from ncrepro import arithmetic, jobs

NOTEBOOKS = sorted((REPOSITORY / "notebooks").rglob("*.ipynb"))
LOADS_NUMPY = {"numpy", "scipy", "pandas", "sklearn", "matplotlib", "torch", "torchvision", "matplotlib_inline", "seaborn"}
PINNED = not arithmetic._machine()
pinned = pytest.mark.skipif(not PINNED, reason=str(arithmetic._machine()))

# What the libraries themselves say of how they compute, as JSON.
SETTINGS = """
import json, sys
def settings(_=None):
    import numpy as np, scipy.linalg, threadpoolctl, torch
    from numpy._core import _multiarray_umath as umath
    import ncrepro.models
    np.ones((2, 2)) @ np.ones((2, 2)), torch.ones(2, 2) @ torch.ones(2, 2)
    return {
        "aten": torch.backends.cpu.get_cpu_capability(),
        "threads": sorted({torch.get_num_threads(), *(pool["num_threads"] for pool in threadpoolctl.threadpool_info())}),
        "blas": sorted({pool["architecture"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}),
        "numpy": [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name] and name != "X86_V3"],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "why_not": arithmetic.why_not_exact(),
    }
"""
EXACT = {"aten": "AVX2", "threads": [1], "blas": ["Haswell"], "numpy": [], "deterministic": True}


def run(code, unset=(), **environment):
    """What a fresh process prints that starts without any of the settings."""
    settings = {*arithmetic.PINS, *arithmetic.UNSET, "NCREPRO_ARITHMETIC"}
    inherited = {name: value for name, value in os.environ.items() if name not in settings}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=inherited | {"PYTHONPATH": str(REPOSITORY)} | environment, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(code, **environment):
    return json.loads(run(code, **environment).splitlines()[-1])


@pinned
def test_the_libraries_compute_as_pinned_whatever_the_environment_says():
    hostile = {"OPENBLAS_CORETYPE": "SkylakeX", "OPENBLAS_L2_SIZE": "999", "NPY_ENABLE_CPU_FEATURES": "X86_V3", "OMP_NUM_THREADS": "2"}
    found = told("from ncrepro import arithmetic\n" + SETTINGS + "print(json.dumps(settings()))", **hostile)
    assert {key: found[key] for key in EXACT} == EXACT


@pinned
def test_without_the_pins_the_libraries_choose_for_themselves():
    found = told("from ncrepro import arithmetic\n" + SETTINGS + "print(json.dumps(settings()))", NCREPRO_ARITHMETIC="native")
    assert found["deterministic"] is False
    assert found["why_not"] == "NCREPRO_ARITHMETIC is 'native'"


@pinned
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_compute_as_pinned(tmp_path, start):
    module = tmp_path / "asking.py"
    module.write_text("from ncrepro import arithmetic\n" + SETTINGS)
    code = (
        "from ncrepro import jobs\nimport asking, json\n"
        f"jobs.START = '{start}'\nprint(json.dumps(list(jobs.side_by_side(asking.settings, [1], 1))[0]))"
    )
    found = told(code, PYTHONPATH=f"{REPOSITORY}:{tmp_path}", OMP_NUM_THREADS="2")
    assert {key: found[key] for key in EXACT} == EXACT
