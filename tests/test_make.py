"""`ncrepro make`: which runs, in what order, and whether a copy of a process is as good as a new one."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from test_pipeline import notebook

from ncrepro.commands import make as making
from ncrepro.commands import workflow
from ncrepro.commands.forked_process import Forked
from ncrepro.commands.run import end_on_sigterm

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # pytest's own may be

FIRST = """
import os, sys, warnings
import numpy as np, pandas as pd, sklearn.mixture, torch, torchvision
from ncrepro.lab import profiles, published
from ncrepro.store import artifacts, paths, pinned_arithmetic
name = profiles.load(profile).name
published.load("ncti_table1")
print(pinned_arithmetic.why_not_exact() or "exact", os.getcwd(), sys.argv[1:2])
print(torch.get_num_threads(), sys.stdin.read(1) == "", sorted(os.environ.items()))
print(pd.get_option("display.max_columns"), pd.get_option("display.max_rows"), pd.get_option("display.width"))
warnings.warn("seen")
artifacts.write_table(paths.results(name, "made") / "table.csv", pd.DataFrame({"x": [1]}))
"""
SECOND = """
import matplotlib.pyplot as plt
from ncrepro.lab import profiles
from ncrepro.figures import style
from ncrepro.store import artifacts, paths
name = profiles.load(profile).name
artifacts.write(paths.figures(name) / "figure.txt", "figure")
print(plt.get_backend(), sorted(plt.rcParams.items()))
"""


def with_two(checkout, first="1", second="2"):
    """The checkout with two notebooks in place of all."""
    for path in (checkout / "notebooks").glob("*.ipynb"):
        path.unlink()
    for name, code in (("00_first", first), ("90_last", second)):
        write(checkout, name, code)
    return checkout


@pytest.fixture
def two(bare):
    return with_two(bare)


def write(checkout, name, *cells):
    (checkout / "notebooks" / f"{name}.ipynb").write_text(notebook("profile = None", *cells))


def run_names(result):
    return [line for line in result.stdout.splitlines() if re.fullmatch(r"\d\d_[a-z]+", line)]


def outcome(checkout, name):
    """What a run has noted and printed, but for when, where and how often it ran."""
    noted = json.loads((checkout / f"build/smoke/{name}.json").read_text())
    printed = [c.get("outputs") for c in json.loads((checkout / f"build/smoke/{name}.ipynb").read_text())["cells"]]
    return {kind: noted[kind] for kind in ("module", "read", "there", "code")}, json.dumps(printed)


def test_a_run_of_make_is_as_one_that_is_started_anew(make, checkout):
    two = with_two(checkout, FIRST, SECOND)
    result = make("all")
    assert (result.stderr, result.returncode, run_names(result)) == ("", 0, ["00_first", "90_last"])
    copies = [outcome(two, name) for name in ("00_first", "90_last")]
    noted, printed = copies[0]
    assert "ncrepro.lab.published" in noted["module"] and "data/published/ncti_table1.csv" in noted["read"]
    assert "exact" in printed and "UserWarning: seen" in printed
    make("clean")
    makefile = (two / "Makefile").read_text()
    (two / "Makefile").write_text(makefile.replace("make $@", "run 00_first\n\t+@$(NCREPRO) run 90_last"))
    assert make("all").returncode == 0
    anew = [outcome(two, name) for name in ("00_first", "90_last")]
    for (noted, printed), (noted_anew, printed_anew) in zip(copies, anew, strict=True):
        assert noted == noted_anew
        assert stripped(printed) == stripped(printed_anew)


def stripped(printed):
    """Without the numbers of processes."""
    return re.sub(r"\('JPY_PARENT_PID', '\d+'\), |(?<=ipykernel_)\d+|(?<=/)tmp\w+(?=/trace)", "", printed)


def test_it_says_what_it_would_run(make, two):
    assert make("all", "--dry-run").stdout.split("python -m ncrepro run ")[1:] == ["00_first\n", "90_last\n"]
    assert not (two / "build").exists()


def test_one_notebook_and_what_comes_before_it(make, two):
    write(two, "01_other", "1")
    assert run_names(make("build/smoke/00_first.ipynb")) == ["00_first"]
    assert make("features").stdout == "smoke: nothing has to be made\n"
    result = make("build/smoke/91_last.ipynb")
    assert result.returncode and "error: unknown file to be made 'build/smoke/91_last.ipynb'" in result.stderr


def test_after_an_error_nothing_new_begins_without_the_option_k(make, two):
    write(two, "00_first", "1 / 0")
    write(two, "01_other", "import time; time.sleep(3)")
    write(two, "02_more", "1")
    result = make("all", "-j1")
    assert result.returncode and "ZeroDivisionError" in result.stderr
    assert not list((two / "build/smoke").glob("0[12]*.ipynb"))
    result = make("all", "-k", "-j1")
    assert result.returncode and run_names(result) == ["00_first", "01_other", "02_more"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", (False, False, 3)),
        ("n", (True, False, 3)),
        ("kn -j4 --jobserver-auth=3,4 -- PROFILE=smoke", (True, True, 4)),
        (" -j2 --jobserver-auth=3,4", (False, False, 2)),
        (" -j", (False, False, 3)),
        (" -- PROFILE=kn", (False, False, 3)),
        ("PROFILE=kn", (False, False, 3)),
        (" --no-print-directory", (False, False, 3)),
    ],
)
def test_options_of_make_count(flags, expected):
    options = making.Options(flags)
    assert (options.only_say, options.go_on, options.at_a_time) == expected


def test_many_runs_go_side_by_side_and_none_before_what_it_needs():
    runs = {workflow.Run(name): () for name in "abcde"}
    runs |= {workflow.Run("f"): (workflow.Run("a"), workflow.Run("e"))}
    started = []

    class Process:
        def __init__(self, words):
            started.append(words[1])
            self.returncode, self.looks = None, 0

        def poll(self):
            assert len([one for one in processes if one.returncode is None]) <= 2
            self.looks += 1
            self.returncode = 0 if self.looks > 1 else None
            return self.returncode

        def terminate(self): ...

        wait = terminate

    processes = []

    def start(words):
        processes.append(Process(words))
        return processes[-1]

    assert making._side_by_side(runs, start, making.Options(" -j2")) == 0
    assert started == list("abcdef")


# Copies of a process --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("work", "status", "message"),
    [
        (lambda: 0, 0, ""),
        (lambda: 3, 3, ""),
        (lambda: sys.exit(143), 143, ""),
        (lambda: sys.exit("words"), 1, ""),
        (lambda: signal.raise_signal(signal.SIGINT), 130, ""),
        (lambda: 1 // 0, 1, "ZeroDivisionError"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), -signal.SIGKILL, ""),
    ],
)
def test_a_copy_ends_as_a_process_does(work, status, message, capfd):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert Forked(work).wait() == status
    output = capfd.readouterr().err
    assert message in output if message else not output


def test_a_copy_can_be_ended_and_to_end_it_again_is_no_error():
    for end, number in ((Forked.terminate, signal.SIGTERM), (Forked.kill, signal.SIGKILL)):
        copy = Forked(lambda: (signal.signal(signal.SIGTERM, signal.SIG_DFL), time.sleep(60)))
        time.sleep(0.5)
        assert copy.poll() is None
        end(copy)
        assert copy.wait() == -number
        end(copy)


def test_a_copy_that_is_ended_as_it_begins_does_nothing_of_what_the_other_process_does(tmp_path, monkeypatch):
    """Its first signal comes at once, and a process that ends on SIGTERM by an exception would unwind all of this."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    fork = os.fork
    monkeypatch.setattr(os, "fork", lambda: fork() or os.kill(os.getpid(), signal.SIGTERM) or 0)
    try:
        copy = Forked(lambda: time.sleep(60))
    except SystemExit:  # in the copy
        (tmp_path / "escaped").touch()
        os._exit(0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert copy.wait() == 143 and not (tmp_path / "escaped").exists()


def test_a_second_sigterm_does_not_cut_short_what_the_first_one_tidies_up(capfd):
    def work():
        end_on_sigterm()
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            print("tidied up")

    assert Forked(work).wait() == 143 and capfd.readouterr().out == "tidied up\n"


@pytest.mark.parametrize(("number", "whom"), [("SIGKILL", "ncrepro"), ("SIGTERM", "ncrepro"), ("SIGINT", "all")])
def test_nothing_goes_on_when_make_ends(number, whom, two):
    write(two, "00_first", "from pathlib import Path\nPath('begun').touch()\nimport time; time.sleep(60)")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and their children, ignore it
    command = ["make", "PROFILE=smoke", f"PYTHON={sys.executable}", "all"]
    process = subprocess.Popen(
        command, cwd=two, env={"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not (two / "notebooks/begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    assert len(below) >= 3  # make itself, a run, its kernel
    if whom == "all":
        os.killpg(process.pid, getattr(signal, number))
    else:
        below[0].send_signal(getattr(signal, number))
    _, errors = process.communicate(timeout=30)
    assert process.returncode and "Traceback" not in errors
    assert not psutil.wait_procs(below, timeout=10)[1]
    assert not (two / "build/smoke/00_first.ipynb").exists()
