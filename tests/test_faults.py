"""The faults bench: what may stand in one group, and how the guilty fault of a group is found; nothing runs make."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY

from bench import faults
from bench.faults import Copy, Fault, Outcome, fits, grouped, run_group, settle
from ncrepro.store import artifacts

RIGHT = Outcome("same bytes")


def fault(number, *owners, **more):
    return Fault(number, more.pop("kind", "damage"), f"fault {number}", lambda copy: None, frozenset(owners), **more)


def disturbing(number, *owners, kind="kill"):
    return fault(number, *owners, kind=kind, disturb=lambda copy: "")


class Runner:
    """Runs in which the ``guilty`` faults do harm; a set of faults that is guilty harms only if all of it is there."""

    def __init__(self, *guilty: set[Fault]):
        self.guilty, self.groups = guilty, []

    def __call__(self, group):
        self.groups.append(group)
        harmed = any(one <= set(group) for one in self.guilty)
        return dict.fromkeys(group, Outcome("wrong", "a table") if harmed else RIGHT)


def test_a_group_that_is_right_takes_one_run():
    group, run = [fault(i) for i in range(24)], Runner()
    assert dict(settle(group, run)) == dict.fromkeys(group, RIGHT)
    assert run.groups == [group]


@pytest.mark.parametrize("place", [0, 11, 12, 23])
def test_a_guilty_fault_is_found_wherever_it_stands_and_no_other_is_accused(place):
    group = [fault(i) for i in range(24)]
    run = Runner({group[place]})
    outcomes = dict(settle(group, run))
    assert [one.number for one, outcome in outcomes.items() if outcome.outcome == "wrong"] == [place]
    assert len(outcomes) == 24 and [group[place]] in run.groups
    assert len(run.groups) <= 1 + 2 * 5


def test_two_guilty_faults_are_both_found():
    group = [fault(i) for i in range(9)]
    outcomes = dict(settle(group, Runner({group[1]}, {group[7]})))
    assert [one.number for one, outcome in outcomes.items() if outcome != RIGHT] == [1, 7]


def test_faults_that_do_harm_only_together_do_not_pass():
    group = [fault(i) for i in range(4)]
    outcomes = dict(settle(group, Runner({group[0], group[3]})))
    assert {outcome.outcome for outcome in outcomes.values()} == {"wrong together"}
    assert "wrong together" not in faults.RIGHT


def test_faults_that_could_hide_each_other_are_apart():
    assert not fits(fault(0, "20_supervised"), [fault(1, "10_train_pool--text", "20_supervised")])
    assert fits(fault(0, "20_supervised"), [fault(1, "21_selfsupervised")])
    assert not fits(fault(0, "20_supervised"), [disturbing(1, "20_supervised")])
    assert fits(disturbing(0, "20_supervised"), [disturbing(1, "20_supervised")])


def test_what_may_be_refused_does_not_stand_beside_two_makes():
    refused = fault(0, "a", kind="folder in the way", mend=lambda copy: None, refusal=("scores.csv",))
    assert not fits(disturbing(1, "b", kind="two makes"), [refused])
    assert not fits(refused, [disturbing(1, "b", kind="two makes")])
    assert fits(refused, [disturbing(1, "b")])


def test_what_is_judged_by_itself_is_alone():
    alone = fault(0, kind="source", check=lambda copy: ("same bytes", ""))
    assert not fits(alone, [fault(1)]) and not fits(fault(1), [alone])
    assert run_group([alone], None, {}) == {alone: RIGHT}


def test_every_fault_is_in_one_group_and_groups_are_bounded():
    campaign = [disturbing(i, str(i)) if i % 4 == 0 else fault(i, str(i % 50)) for i in range(340)]
    groups = grouped(campaign)
    assert sorted(one.number for group in groups for one in group) == list(range(340))
    assert max(map(len, groups)) <= faults.SIZE
    assert max(sum(one.disturb is not None for one in group) for group in groups) <= faults.DISTURBED


# A run, with a make that is a few lines of Python ---------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "data/results/smoke/pool").mkdir(parents=True)
    (tmp_path / "build/smoke").mkdir(parents=True)
    (tmp_path / "data/results/smoke/pool/scores.csv").write_text("a\n1\n")
    (tmp_path / "data/results/smoke/pool/accuracies.csv").write_text("b\n2\n")
    made = Copy(tmp_path, limit_s=20)
    made.command = [sys.executable, "-c", "pass"]
    return made


def striking(number, file, content):
    return Fault(number, "damage", file, lambda copy: (copy.folder / file).write_text(content))


def test_what_make_leaves_wrong_is_named(copy):
    group = [striking(0, "data/results/smoke/pool/scores.csv", "a\n7\n")]
    outcome = run_group(group, copy, copy.state())[group[0]]
    assert outcome.outcome == "wrong" and "data/results/smoke/pool/scores.csv" in outcome.detail


def test_what_is_lost_is_named(copy):
    file = "data/results/smoke/pool/scores.csv"
    group = [Fault(0, "delete", file, lambda copy: (copy.folder / file).unlink())]
    outcome = run_group(group, copy, copy.state())[group[0]]
    assert outcome.outcome == "wrong" and f"{file} (lost)" in outcome.detail


def test_a_refusal_that_names_the_fault_is_mended_and_counts_for_it_alone(copy):
    file = copy.folder / "data/results/smoke/pool/scores.csv"
    copy.command = [
        sys.executable, "-c",
        f"import sys, os; os.path.isdir({str(file)!r}) and sys.exit('error: cannot write scores.csv')",
    ]  # fmt: skip
    expected = copy.state()
    blocked = Fault(
        0, "folder in the way", "it", lambda copy: (file.unlink(), file.mkdir()),
        mend=lambda copy: (file.rmdir(), file.write_text("a\n1\n")), refusal=("scores.csv",),
    )  # fmt: skip
    other = fault(1)
    outcomes = run_group([blocked, other], copy, expected)
    assert outcomes == {blocked: Outcome("refused in one line", "error: cannot write scores.csv"), other: RIGHT}


@pytest.mark.parametrize(
    "message", ["Traceback (most recent call last)\nerror: scores.csv", "error: accuracies.csv", "oh"]
)
def test_a_refusal_that_names_nothing_of_the_group_or_is_a_traceback_is_unclear(copy, message):
    copy.command = [sys.executable, "-c", f"import sys; sys.exit({message!r})"]
    blocked = fault(0, mend=lambda copy: None, refusal=("scores.csv",))
    assert run_group([blocked], copy, {})[blocked].outcome == "unclear"


class OfScores(faults.Context):
    """Draws one file only."""

    def file(self, kinds):
        return kinds[0], "data/results/smoke/pool/scores.csv"


@pytest.mark.parametrize("draw", [faults.in_the_way, faults.not_writable])
def test_a_refusal_of_a_file_of_the_same_name_in_another_folder_is_not_one_of_this_fault(copy, draw):
    one = Fault(0, "it", **draw(OfScores(copy, [], Random(0))))
    assert one.is_named("error: cannot write data/results/smoke/pool/scores.csv (0.0 MB): File exists")
    assert not one.is_named("error: cannot write data/results/smoke/pool_scratch/scores.csv (0.0 MB): File exists")


@pytest.mark.parametrize(
    "message, outcome",
    [
        ("error: {path} holds no images", "refused in one line"),
        ("error: odd_features: features contain nan", "refused in one line"),
        ("error: could not download resnet18", "unclear"),
        ("error: {path} holds no images\nerror: and more", "unclear"),
        ("Traceback (most recent call last)\nerror: {path} holds no images", "unclear"),
    ],
)
def test_hostile_data_are_refused_only_by_what_names_them(copy, monkeypatch, message, outcome):
    monkeypatch.setattr(faults, "HOSTILE", {"a folder": lambda folder, chance: [str(folder / "photos")]})
    program = "import sys; sys.exit(sys.argv[1].format(path=sys.argv[2]))"
    start = copy.start
    monkeypatch.setattr(copy, "start", lambda command: start([sys.executable, "-c", program, message, command[-1]]))
    assert faults.hostile_data(faults.Context(copy, [], Random(0)))["check"](copy)[0] == outcome


def test_a_make_that_does_not_end_hangs(copy):
    copy.command, copy.limit_s = [sys.executable, "-c", "import time; time.sleep(99)"], 0.5
    one = fault(0)
    assert run_group([one], copy, {})[one].outcome == "hangs"


def test_a_notebook_that_is_not_what_its_run_wrote_is_found(copy):
    (copy.folder / "build/smoke/20_it.ipynb").write_text("{}")
    (copy.folder / "build/smoke/20_it.json").write_text(json.dumps({"write": {"build/smoke/20_it.ipynb": "0123"}}))
    assert copy.state()["build/smoke/20_it.ipynb"] == "not what its run wrote"


def test_of_an_artefact_counts_what_it_holds_but_not_how_long_it_took(copy, tmp_path):
    path = copy.folder / "data/cache/smoke/finetuned/model.safetensors"
    states = []
    for weight, seconds in ((1.0, 1.0), (1.0, 2.0), (2.0, 1.0)):
        artifacts.save(path, {"weights": np.array([weight]), "seconds": np.array(seconds)}, {"of": 1})
        states.append(copy.state())
    assert states[0] == states[1] != states[2]
    path.write_bytes(path.read_bytes()[:-3])
    assert "damaged" in copy.state().values()


def test_of_the_index_counts_what_it_says_but_not_of_times(tmp_path):
    index = tmp_path / "index.csv"
    digests = []
    for seconds, found in (("0.7", "best"), ("0.8", "best"), ("0.7", "worst")):
        index.write_text(f"figure,found\nncti_fig4,took {seconds} s\nncti_fig5,{found}\n")
        digests.append(faults._digest(index))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kinds", "kil"], "unknown kind 'kil': choose of damage"),
        (["--n=-1"], "FAULTS is -1; allowed is a whole number from 1 to 100,000"),
    ],
)
def test_faults_that_cannot_be_drawn_give_one_clear_line(arguments, message):
    repository = Path(faults.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-m", "bench.faults", *arguments], cwd=repository, capture_output=True, text=True
    )
    assert result.returncode == 2 and message in result.stderr
    assert "Traceback" not in result.stderr


def test_every_fault_of_the_committed_campaign_ended_as_the_readme_says():
    table = pd.read_csv(REPOSITORY / "data/reference/faults/faults.csv", keep_default_na=False)
    assert f"All {len(table)} faults" in " ".join((REPOSITORY / "README.md").read_text().split())
    assert len(table) >= 340 and set(table["outcome"]) == set(faults.RIGHT) and set(table["kind"]) == set(faults.FAULTS)
    assert table["fault"].is_unique and (table["said"] != "").equals(table["outcome"] == "refused in one line")
