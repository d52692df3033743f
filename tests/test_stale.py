"""What would be made again after a change, held against what every run of the smoke profile really imported and
read.
"""

import json
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY
from matplotlib import pyplot as plt

from ncrepro.commands import workflow
from ncrepro.figures import index
from ncrepro.lab import profiles
from ncrepro.store import fingerprint, manifest

SMOKE = profiles.load("smoke")
STALE = """
import json
from ncrepro.lab import profiles
from ncrepro.commands import workflow
profile = profiles.load("smoke")
print(json.dumps([run.name for run in workflow.runs(profile) if workflow.why_again(run, profile)]))
"""


@pytest.fixture(scope="module")
def recorded():
    """Run -> its manifest, of every run of the smoke profile in this checkout."""
    found = {run: manifest.load(REPOSITORY / "build" / "smoke" / f"{run.name}.json") for run in workflow.runs(SMOKE)}
    if not all(found.values()):
        pytest.skip("make PROFILE=smoke all has not run here; make test runs it first")
    return found


def reached(run, content) -> set[str]:
    cells = fingerprint.reach(workflow.code_of(run), stops=()).modules
    return cells.union(
        *(fingerprint.reach(*used["roots"], stops=tuple(used["stops"])).modules for used in content["code"])
    )


def test_every_module_that_a_run_imports_is_one_whose_change_makes_it_again(recorded):
    holes = {run.name: sorted(set(content["module"]) - reached(run, content)) for run, content in recorded.items()}
    assert {run: modules for run, modules in holes.items() if modules} == {}


def test_the_record_is_not_empty(recorded):
    imported = {module for content in recorded.values() for module in content["module"]}
    assert len(imported) > len(fingerprint.modules()) / 2
    assert {
        "ncrepro.lab.losses",
        "ncrepro.store.jobs",
        "ncrepro.lab.objectives.sela",
        "ncrepro.lab.models.text",
        "bench.plain",
    } <= imported
    read = {file for content in recorded.values() for file in content["read"]}
    assert "data/published/ncti_table1.csv" in read and "data/results/smoke/text/accuracies.csv" in read


def test_every_file_that_a_run_writes_has_one_writer(recorded):
    writers: dict[str, set[str]] = {}
    for run, content in recorded.items():
        for file in content["write"]:
            writers.setdefault(file, set()).add(run.name)
    assert {file: names for file, names in writers.items() if len(names) > 1} == {}


DATA = """
import json
from ncrepro.lab import profiles
from ncrepro.lab.experiment import Experiment
from ncrepro.store import trace
with trace.watching() as facts:
    for pool in profiles.load("smoke").pools:
        Experiment(pool, "smoke").data()
print(json.dumps([fact for kind, fact in map(json.loads, facts) if kind == "artefact"]))
"""


def test_a_kept_data_set_that_is_removed_is_made_again_though_nothing_has_to_be_trained(recorded):
    kept = {file for content in recorded.values() for file in content["artefact"] if "/datasets/" in file}
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
    output = subprocess.check_output([sys.executable, "-c", DATA], env=environment, cwd=REPOSITORY, text=True)
    assert kept and kept <= set(json.loads(output.splitlines()[-1]))


def test_a_figure_that_make_has_drawn_is_not_drawn_again_by_hand(recorded):
    file = REPOSITORY / "figures" / "smoke" / "face_table1.png"
    before = file.stat().st_mtime_ns
    with plt.rc_context():
        index._save("smoke", file.stem)
    assert file.stat().st_mtime_ns == before


# Changes in a copy ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(recorded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stale") / "copy"
    data = (
        "published",
        "photographs",
        "time_series",
        "sample",
        "reference",
        "results/smoke",
        "results/rank",
        "cache/smoke",
        "cache/datasets",
        "cache/rank",
    )
    for part in ("ncrepro", "bench", "notebooks", *(f"data/{name}" for name in data), "figures", "build/smoke"):
        if (REPOSITORY / part).exists():
            shutil.copytree(REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def stale_in(copy) -> set[str]:
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(copy), "NCREPRO_PROFILE": "smoke"}
    result = subprocess.run([sys.executable, "-c", STALE], env=environment, cwd=copy, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(json.loads(result.stdout))


def runs_named(*starts: str) -> set[str]:
    return {run.name for run in workflow.runs(SMOKE) if run.name.startswith(starts)}


CHANGES = {
    "a comment": ("ncrepro/lab/training.py", "draws = torch", "# in order\n    draws = torch", set(), {""}),
    "a docstring": ("ncrepro/lab/losses.py", '"""', '"""Words. ', set(), {""}),
    "one figure": (
        "ncrepro/figures/supervised.py",
        "Table 1: how",
        "Table 1: see how",
        {"20_supervised", "90_figures"},
        {"0", "1", "21", "22", "3", "4"},
    ),
    "one metric": (
        "ncrepro/metrics/logme.py",
        "\n    return ",
        "\n    changed = 1\n    return ",
        {"20", "21", "22", "23", "24", "25", "33"},
        {"10", "11", "03"},
    ),
    "what trains images": (
        "ncrepro/lab/training.py",
        'mode="reflect"',
        'mode="replicate"',
        {"10_train_pool--supervised", "10_train_pool--selfsupervised"},
        {"10_train_pool--text", "10_train_pool--segmentation", "03"},
    ),
    "the losses": (
        "ncrepro/lab/losses.py",
        "\n    return ",
        "\n    changed = 1\n    return ",
        {"01", "10_train_pool--supervised", "10_train_pool--loss_functions", "32", "40", "41"},
        {"03"},
    ),
    "how jobs run": (
        "ncrepro/store/jobs.py",
        "class Job(",
        "changed = 1\n\n\nclass Job(",
        {"01", "10", "11", "20", "30", "90"},
        {"03"},
    ),
    "how a notebook becomes a process": (
        "ncrepro/commands/run.py",
        '"display.max_columns", 20',
        '"display.max_columns", 30',
        {"0", "1", "2", "3", "4", "90"},
        {"nothing"},
    ),
    "in what order runs are made": (
        "ncrepro/commands/workflow.py",
        "\nclass Run(",
        "\nchanged = 1\n\n\nclass Run(",
        set(),
        {"0", "1", "2", "3", "4"},
    ),
    "advice": (
        "ncrepro/rank_your_own/rank.py",
        "def _work(",
        "changed = 1\n\n\ndef _work(",
        {"40", "41"},
        {"10", "11", "30"},
    ),
    "a published table": ("data/published/face_table1.csv", "dtd", "DTD", {"03", "20"}, {"10_train_pool--text", "11"}),
    "the look of figures": (
        "ncrepro/figures/style.py",
        "PAGE = 7.0",
        "PAGE = 7.1",
        {"10", "20", "30", "90"},
        {"nothing"},
    ),
    "a profile": ("notebooks/profiles/smoke.yaml", "workers: 2", "workers: 1", {"10", "20", "90"}, {"nothing"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_again_what_rests_on_it_and_not_much_else(copy, change):
    file, old, new, again, untouched = CHANGES[change]
    path = copy / file
    before = path.read_text() if path.exists() else None
    try:
        if before is not None:
            assert old in before
            path.write_text(before.replace(old, new, 1))
        stale = stale_in(copy)
    finally:
        if before is not None:
            path.write_text(before)
    assert runs_named(*again) - stale == set()
    assert runs_named(*untouched) & stale == set()
