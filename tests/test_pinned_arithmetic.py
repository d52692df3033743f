import ast
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import REPOSITORY

from ncrepro.store import pinned_arithmetic

NOTEBOOKS = sorted((REPOSITORY / "notebooks").rglob("*.ipynb"))
LOADS_NUMPY = {"numpy", "scipy", "pandas", "sklearn", "matplotlib", "matplotlib_inline", "torch", "torchvision", "PIL"}
pinned = pytest.mark.skipif(bool(pinned_arithmetic._machine()), reason=str(pinned_arithmetic._machine()))

# What the libraries themselves say of how they compute.
SETTINGS = """
from ncrepro.store import jobs, pinned_arithmetic
import json
def settings(_=None):
    import numpy as np, scipy.linalg, threadpoolctl, torch
    from numpy._core import _multiarray_umath as umath
    import ncrepro.lab.models
    np.ones((2, 2)) @ np.ones((2, 2)), torch.ones(2, 2) @ torch.ones(2, 2)
    pools = threadpoolctl.threadpool_info()
    return {
        "aten": torch.backends.cpu.get_cpu_capability(),
        "threads": sorted({torch.get_num_threads(), *(pool["num_threads"] for pool in pools)}),
        "blas": sorted({pool["architecture"] for pool in pools if pool["user_api"] == "blas"}),
        "numpy": [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name] and name != "X86_V3"],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "why_not": pinned_arithmetic.why_not_exact(),
    }
"""
HERE = SETTINGS + "print(json.dumps(settings()))"
IN_A_WORKER = SETTINGS + "print(json.dumps(list(jobs.side_by_side(settings, [0], 1))[0]))"
EXACT = {
    "aten": "AVX2",
    "threads": [1],
    "blas": ["Haswell"],
    "numpy": [],
    "deterministic": not torch.cuda.is_available(),
}
# What a shell may bring along, and would be obeyed.
HOSTILE = {
    "OPENBLAS_CORETYPE": "SkylakeX",
    "OPENBLAS_L2_SIZE": "999",
    "NPY_ENABLE_CPU_FEATURES": "X86_V3",
    "OMP_NUM_THREADS": "2",
}


def bare(**environment):
    """The environment of a fresh shell."""
    ours = {*pinned_arithmetic.PINS, *pinned_arithmetic.UNSET, "NCREPRO_ARITHMETIC"}
    return (
        {name: value for name, value in os.environ.items() if name not in ours}
        | {"PYTHONPATH": str(REPOSITORY)}
        | environment
    )


def output(code, **environment):
    """The JSON that a fresh process prints last."""
    command = [sys.executable, "-W", "error", "-c", code]
    process = subprocess.run(command, env=bare(**environment), capture_output=True, text=True, cwd="/")
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


def chosen(found):
    return {key: found[key] for key in EXACT}


@pinned
def test_the_libraries_compute_as_pinned_whatever_the_environment_says():
    assert chosen(output(HERE, **HOSTILE)) == EXACT


@pinned
def test_native_leaves_the_choice_to_the_libraries():
    found = output(HERE, NCREPRO_ARITHMETIC="native", OMP_NUM_THREADS="2")
    assert 2 in found["threads"]
    assert found["deterministic"] is False
    assert found["why_not"] == "NCREPRO_ARITHMETIC is 'native'"


@pinned
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_compute_as_pinned(tmp_path, start):
    (tmp_path / "asking.py").write_text(SETTINGS)  # a spawned worker imports what it is to do
    code = (
        "import asking, json\nasking.jobs.START = "
        f"'{start}'\nprint(json.dumps(list(asking.jobs.side_by_side(asking.settings, [0], 1))[0]))"
    )
    assert chosen(output(code, PYTHONPATH=f"{REPOSITORY}:{tmp_path}", **HOSTILE)) == EXACT


@pinned
@pytest.mark.parametrize("code", [HERE, IN_A_WORKER], ids=["kernel", "its worker"])
def test_a_notebook_opened_by_hand_computes_as_pinned(code):
    from jupyter_client import KernelManager

    manager = KernelManager(kernel_name="python3", transport="ipc")
    manager.start_kernel(env=bare(**HOSTILE))
    printed = []
    try:
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=120)
        client.execute_interactive(
            code, timeout=300, output_hook=lambda message: printed.append(message["content"].get("text", ""))
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.context.destroy()
    assert chosen(json.loads("".join(printed).splitlines()[-1])) == EXACT


@pinned
def test_a_notebook_that_make_runs_computes_as_pinned(tmp_path):
    cells = [("import json", ["parameters"]), (IN_A_WORKER, [])]
    notebook = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{i}",
                "source": source,
                "metadata": {"tags": tags},
                "outputs": [],
                "execution_count": None,
            }
            for i, (source, tags) in enumerate(cells)
        ],
    }
    (tmp_path / "asking.ipynb").write_text(json.dumps(notebook))
    run = (
        "import sys; from pathlib import Path; from ncrepro.commands.run import run_notebook; "
        "run_notebook(*map(Path, sys.argv[1:]), {})"
    )
    command = [sys.executable, "-c", run, str(tmp_path / "asking.ipynb"), str(tmp_path / "out" / "asking.ipynb")]
    process = subprocess.run(command, env=bare(**HOSTILE), cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    result = json.loads((tmp_path / "out" / "asking.ipynb").read_text())
    assert chosen(json.loads("".join(result["cells"][-1]["outputs"][0]["text"]).splitlines()[-1])) == EXACT


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_imports_ncrepro_before_anything_that_loads_numpy(notebook):
    order = list(imported(json.loads(notebook.read_text())))
    first = next((i for i, name in enumerate(order) if name in ("ncrepro", "bench")), None)
    early = [name for name in order[:first] if name in LOADS_NUMPY]
    assert not early, f"{notebook.name} imports {', '.join(early)} before ncrepro, which must settle how they compute"


def imported(notebook):
    """The top-level packages that a notebook imports, in order."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            for node in ast.walk(ast.parse("\n".join(line for line in lines if not line.startswith(("%", "!"))))):
                if isinstance(node, ast.Import):
                    yield from (alias.name.split(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom):
                    yield node.module.split(".")[0]


def test_a_package_installed_elsewhere_leaves_its_process_alone(tmp_path):
    shutil.copytree(REPOSITORY / "ncrepro", tmp_path / "ncrepro", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import json, os, ncrepro.store.pinned_arithmetic as a; print(json.dumps([[name for name in a.PINS if name in "
        "os.environ], a.why_not_exact()]))"
    )
    left, why = output(code, PYTHONPATH=str(tmp_path))
    assert left == []
    assert why == "ncrepro is installed as a library, not run from a checkout of the compendium"


@pinned
def test_libraries_that_came_first_are_reported():
    code = "import numpy, json\nfrom ncrepro.store import pinned_arithmetic as a\nprint(json.dumps(a.why_not_exact()))"
    assert output(code) == "numpy came before ncrepro with settings of their own: import ncrepro first"
    assert (
        output(code, **pinned_arithmetic.PINS) is None or not EXACT["deterministic"]
    )  # by these settings it computes as pinned


def test_a_mistyped_choice_is_answered_by_what_is_allowed(monkeypatch):
    monkeypatch.setenv("NCREPRO_ARITHMETIC", "nativ")
    with pytest.raises(ValueError, match="NCREPRO_ARITHMETIC is 'nativ'; allowed is 'exact' .the default. or 'native'"):
        pinned_arithmetic.wants_exact()


@pytest.fixture
def fit(monkeypatch):
    """A machine, and a process, of which nothing speaks against exact numbers; whatever this one is."""
    locked = dict(
        line.split(" ;")[0].split("==")
        for line in (REPOSITORY / "requirements.txt").read_text().splitlines()
        if "==" in line
    )
    monkeypatch.delenv("NCREPRO_ARITHMETIC", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(pinned_arithmetic, "_loaded_before", [])
    monkeypatch.setattr(pinned_arithmetic.sys, "platform", "linux")
    monkeypatch.setattr(pinned_arithmetic.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(pinned_arithmetic, "_cpuinfo", lambda: {"model name": "Some CPU", "flags": "sse2 avx2 fma"})
    monkeypatch.setattr(pinned_arithmetic.metadata, "version", locked.__getitem__)
    pinned_arithmetic._machine.cache_clear()
    yield monkeypatch
    pinned_arithmetic._machine.cache_clear()


def test_a_fit_machine_is_exact(fit):
    assert pinned_arithmetic.why_not_exact() is None


def test_a_local_build_of_the_same_version_computes_alike(fit):
    version = pinned_arithmetic.metadata.version
    fit.setattr(pinned_arithmetic.metadata, "version", lambda name: version(name) + ("+cpu" if name == "torch" else ""))
    assert pinned_arithmetic.why_not_exact() is None


def test_another_architecture_is_reported(fit):
    fit.setattr(pinned_arithmetic.platform, "machine", lambda: "aarch64")
    assert pinned_arithmetic.why_not_exact().endswith("on aarch64; the reference is of Linux on x86_64")


def test_a_cpu_without_the_instructions_is_reported_and_not_pinned(fit):
    fit.setattr(pinned_arithmetic, "_cpuinfo", lambda: {"model name": "Old CPU", "flags": "sse2 avx"})
    fit.delenv("OPENBLAS_CORETYPE", raising=False)
    pinned_arithmetic.pin()
    assert "OPENBLAS_CORETYPE" not in os.environ  # it would stop at the first instruction that it lacks
    assert pinned_arithmetic.why_not_exact() == "this CPU (Old CPU) lacks avx2 and fma"


def test_another_version_is_reported(fit):
    version = pinned_arithmetic.metadata.version
    fit.setattr(pinned_arithmetic.metadata, "version", lambda name: "1.13.0" if name == "scipy" else version(name))
    assert (
        pinned_arithmetic.why_not_exact()
        == f"scipy is 1.13.0; the reference was made with {version('scipy')} (requirements.txt)"
    )


def test_a_missing_library_is_reported(fit):
    version = pinned_arithmetic.metadata.version

    def without_torch(name):
        if name == "torch":
            raise pinned_arithmetic.metadata.PackageNotFoundError(name)
        return version(name)

    fit.setattr(pinned_arithmetic.metadata, "version", without_torch)
    assert (
        pinned_arithmetic.why_not_exact()
        == f"torch is missing; the reference was made with {version('torch')} (requirements.txt)"
    )


@pytest.mark.parametrize(
    ("visible", "why"), [("0", "a GPU is used; CUDA_VISIBLE_DEVICES=-1 hides it"), ("-1", None), ("", None)]
)
def test_a_gpu_is_reported_unless_it_is_hidden(fit, visible, why):
    fit.setattr(pinned_arithmetic.Path, "exists", lambda path: True)
    fit.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert pinned_arithmetic.why_not_exact() == why


@pinned
def test_this_process_is_pinned():
    assert not pinned_arithmetic._loaded_before
    assert np.exp(np.float32(1)) and chosen(json.loads(json.dumps(namespace()["settings"]()))) == EXACT


def namespace():
    names = {}
    exec(SETTINGS, names)
    return names
