"""`make noise`: what is run again and what is not, and what repetitions show."""

import shlex
import shutil
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from ncrepro.commands import cli as pipeline
from ncrepro.commands import noise, tolerances, verify
from ncrepro.lab import profiles, repeated_verdicts
from ncrepro.store import paths

POOL, SCRATCH = "multi_source", "text_scratch"  # the models of the second were not pre-trained, so they have no scores


def write_run(profile: str, kind: str) -> None:
    """A run of everything, made up: the tables of one pool and an index of figures, from the seed that the repetition's
    number is.
    """
    name, _, repetition = profile.partition("+")
    rng = np.random.default_rng(int(repetition or 0))
    trained = profiles.load(name).pool(POOL)
    models = [model.name for model in trained.models]
    folder = paths.root() / "data" / kind / profile
    quality = pd.Series(np.linspace(50, 90, len(models)), models)
    pairs = [(model, target) for model in models for target in trained.targets]
    accuracies = pd.DataFrame(
        [{"model": m, "target": t, "seed": 0, "accuracy": quality[m] + rng.normal(0, 4)} for m, t in pairs]
    )
    pretraining = pd.DataFrame(
        {"model": models, "n_parameters": range(10, 10 + len(models)), "source_accuracy": quality.to_numpy()}
    )
    scores = pd.DataFrame([
        {"model": m, "target": t, "metric": metric, "term": term, "score": (quality[m] + rng.normal(0, 6)) / 100}
        for m, t in pairs
        for metric, term in (("ncti", "seli"), ("ncti", "ncc"), ("ncti", "log_vc"), ("logme", "total"))
    ])  # fmt: skip
    correlations = pd.DataFrame([
        {"target": t, "metric": m, **{s: rng.normal(0.5, 0.1) for s in noise.STATISTICS}}
        for t in (*trained.targets, "average")
        for m in ("ncti", "logme")
    ])  # fmt: skip
    tables = {"accuracies": accuracies, "pretraining": pretraining, "scores": scores, "correlations": correlations}
    alone = {(SCRATCH, "accuracies"): accuracies.assign(accuracy=lambda t: t["accuracy"] / 2)}
    for (pool, table), made in ({(POOL, table): made for table, made in tables.items()} | alone).items():
        path = folder / pool / f"{table}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        made.to_csv(path, index=False, float_format="%.10g", lineterminator="\n")
    true = np.array([0.99, rng.choice([0.97, 0.93]), 0.01, np.nan])
    claims = ["A is above B.", "B is above C.", "C is above A.", np.nan]
    index = pd.DataFrame({"figure": ["one", "two", "three", "four"], "claim": claims, "if_false": 1 - true})
    index["if_true"] = true
    paths.figures(profile).mkdir(parents=True, exist_ok=True)
    index.to_csv(paths.figures(profile) / "index.csv", index=False)


@pytest.fixture
def trained(root, monkeypatch):
    """A small profile whose training, scoring and ranking take no time: (pool, repetition) of what was asked for."""
    file = root / "notebooks" / "profiles" / "smoke.yaml"
    content = yaml.safe_load(file.read_text())
    content["pools"] = {name: content["pools"][name] for name in (POOL, SCRATCH)}
    file.write_text(yaml.safe_dump(content))
    calls = []

    def rank(study):
        calls.append((study.pool.name, study.profile.name))
        write_run(study.profile.name, "results")

    monkeypatch.setattr(noise, "_rank", rank)
    return calls


@pytest.fixture
def command(root, trained):
    """A run of everything that takes no time: that it ran is left behind."""
    return shlex.join(["touch", "ran {profile}"])


def test_a_study_of_three_repetitions(command, root, capsys):
    assert pipeline.main(["noise", "--repetitions", "3", "--command", command]) == 0
    out = capsys.readouterr().out
    assert "3 of 3 repetitions of 'smoke' are finished" in out
    written = paths.noise("smoke")
    assert {path.name for path in written.iterdir()} == {
        f"{POOL}.csv", f"{SCRATCH}.csv", "correlations.csv", "verdicts.csv",
        "tolerances.csv", "limits.csv", "bounds.csv", "summary.csv",
    }  # fmt: skip
    assert list(pd.read_csv(written / f"{SCRATCH}.csv")) == ["repetition", "model", "target", "accuracy"]
    wide = pd.read_csv(written / f"{POOL}.csv")
    assert list(wide.columns[:4]) == ["repetition", "model", "target", "accuracy"]
    assert {"ncti", "logme", "static_baseline", "source_accuracy", "n_parameters"} == set(wide.columns[4:])
    assert sorted(wide["repetition"].unique()) == [0, 1, 2, 3]
    reference = pd.read_csv(paths.results("smoke", POOL) / "accuracies.csv")
    both = wide.query("repetition == 0").merge(reference, on=["model", "target"])
    assert both["accuracy_x"].to_numpy() == pytest.approx(both["accuracy_y"].to_numpy(), rel=1e-5)
    summary = pd.read_csv(written / "summary.csv").query("pool != @SCRATCH").set_index(["what", "of"])["value"]
    assert summary["standard deviation of an accuracy", "one model on one target"] == pytest.approx(4, rel=0.35)
    assert summary["verdicts", "figures"] == 3
    assert summary["verdicts of one training alone", "share that contradict each other in two runs"] == 0
    verdicts = pd.read_csv(written / "verdicts.csv").pivot(index="figure", columns="repetition", values="if_true")
    assert list(verdicts.index) == ["one", "three", "two"]
    assert verdicts.loc["two"].nunique() == 2  # the seeds of this test: not all trainings say the same
    assert summary["verdicts of one training alone", "figures that ever change"] == 1
    scale = pd.read_csv(written / "tolerances.csv").query("column == 'accuracy' and table == @POOL + '/accuracies.csv'")
    assert scale["scale"].item() == pytest.approx(
        4 * 2 / np.pi**0.5, rel=0.35
    )  # of two normal numbers, the mean difference
    assert {path.name for path in root.glob("ran *")} == {"ran smoke", *(f"ran smoke+{r}" for r in (1, 2, 3))}
    shutil.copytree(paths.results("smoke"), paths.reference("smoke"))
    for repetition in (1, 2, 3):  # the study's own repetitions lie within its limits
        assert verify.verify(f"smoke+{repetition}") == 0


TRUE = {  # how likely each of six trainings finds a claim
    "sure": [0.99] * 6,
    "near": [0.94, 0.97, 0.97, 0.97, 0.97, 0.97],
    "torn": [0.99, 0.01, 0.99, 0.99, 0.99, 0.99],
    "low": [0.5, 0.01, 0.01, 0.01, 0.01, 0.01],
}


def of_trainings(true: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"repetition": r, "figure": f, "claim": f"of {f}", "if_false": 1 - p, "if_true": p}
            for f, found in true.items()
            for r, p in enumerate(found)
        ]
    )


def test_one_training_alone_and_all_together_are_counted_each_by_itself():
    values = {(what, of): value for what, _, of, value in noise._changes(of_trainings(TRUE))}
    alone, together = "verdicts of one training alone", "verdicts of all trainings, one exchanged for another"
    assert values["verdicts", "figures"] == 4
    assert (values[alone, "figures that ever change"], values[alone, "figures that ever contradict"]) == (3, 1)
    assert values[alone, "share that contradict each other in two runs"] == pytest.approx(5 / 15 / 4)
    assert values[alone, "share that differ between two runs"] == pytest.approx(3 * 5 / 15 / 4)
    # without the second, all trainings agree that the torn claim holds; with it, it is open
    assert (values[together, "figures that ever change"], values[together, "figures that ever contradict"]) == (2, 0)
    assert values[together, "share that differ between two runs"] == pytest.approx(2 * 5 / 15 / 4)


def test_a_training_that_is_left_out_says_nothing():
    words = repeated_verdicts.verdicts_without_each(of_trainings({"torn": TRUE["torn"]})).loc["torn"]
    assert words.to_list() == [noise.OPEN, "holds", *[noise.OPEN] * 4]
    assert repeated_verdicts.single_verdicts(of_trainings({"torn": TRUE["torn"]})).loc["torn", 1] == "does not hold"


def test_every_pool_of_every_repetition_is_trained_before_anything_is_run_whole(root, trained, monkeypatch):
    monkeypatch.setattr(noise, "_run", lambda name, command: trained.append(name) or True)
    assert noise.noise("smoke", 2) == 0
    names = ["smoke", "smoke+1", "smoke+2"]
    assert trained == [(pool, name) for name in names for pool in (POOL, SCRATCH)] + [*names, "smoke"]


def test_a_profile_that_cannot_be_run_again_at_last_is_a_failure(root, trained, monkeypatch):
    names = []
    monkeypatch.setattr(noise, "_run", lambda name, command: names.append(name) or names.count("smoke") < 2)
    assert noise.noise("smoke", 2) == 1


@pytest.mark.parametrize(("untrained", "more"), [(False, ["extract", "score", "correlate"]), (True, [])])
def test_models_that_nothing_was_pre_trained_for_are_not_scored(untrained, more):
    calls = []
    verbs = {verb: partial(calls.append, verb) for verb in ("pretrain", "finetune", "extract", "score", "correlate")}
    noise._rank(SimpleNamespace(is_untrained=untrained, **verbs))
    assert calls == ["pretrain", "finetune", *more]


def test_the_pool_from_random_weights_is_the_untrained_one(root):
    assert noise.Experiment(SCRATCH, "smoke").is_untrained and not noise.Experiment(POOL, "smoke").is_untrained


def test_a_committed_study_is_shown_on_a_machine_that_has_none_of_its_tables(command, root, capsys):
    assert noise.noise("smoke", 2, command=command) == 0
    for path in root.glob("ran *"):
        path.unlink()
    shutil.rmtree(paths.root() / "data" / "results")
    capsys.readouterr()
    assert noise.noise("smoke", 2, command=command) == 0
    assert "2 repetitions are in data/reference/noise/smoke" in capsys.readouterr().out
    assert not list(root.glob("ran *"))


def test_a_repetition_that_fails_is_named_and_the_others_count(command, root, capsys):
    fails = shlex.join([sys.executable, "-c", "import sys; sys.exit(3 * sys.argv[1].endswith('3'))", "{profile}"])
    assert noise.noise("smoke", 3, command=fails) == 1
    streams = capsys.readouterr()
    assert "smoke+3: " in streams.err and "failed with exit status 3" in streams.err
    assert "2 of 3 repetitions of 'smoke' are finished" in streams.out


def test_the_first_step_alone_leaves_the_committed_study_alone(command, root, trained, capsys):
    assert pipeline.main(["noise", "--repetitions", "2", "--only-ranking", "--pools", POOL]) == 0
    assert trained == [(POOL, name) for name in ("smoke", "smoke+1", "smoke+2")]
    assert not paths.noise("smoke").exists() and not list(root.glob("ran *"))
    assert (paths.results("noise", "smoke") / "summary.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repetitions", "1"], "REPETITIONS is 1; allowed is a whole number from 2 to 100"),
        (["--repetitions", "99999999999"], "REPETITIONS is 99999999999; allowed is"),
        (["--pools", POOL], "--pools is for --only-ranking"),
        (["--only-ranking", "--pools", "multi_sorce"], "did you mean 'multi_source'"),
        (["--command", "false"], "0 of 5 repetitions of 'smoke' are finished"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(command, capsys, arguments, message):
    assert pipeline.main(["noise", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_tables_of_other_code_are_refused_by_name(command, root, capsys):
    for repetition in (0, 1, 2):
        write_run(f"smoke+{repetition}" if repetition else "smoke", "results")
    path = paths.results("smoke+2", POOL) / "scores.csv"
    pd.read_csv(path).assign(more=1).to_csv(path, index=False)
    folders = {r: paths.results(f"smoke+{r}" if r else "smoke") for r in range(3)}
    with pytest.raises(
        ValueError, match=r"smoke\+2/multi_source/scores.csv has other columns than .* it was made by other code"
    ):
        noise.study_of_whole_runs("smoke", folders, paths.noise("smoke"))


def test_a_run_whose_models_are_exchanged_is_refused_by_the_study(command, root, capsys):
    assert noise.noise("smoke", 4, command=command) == 0
    shutil.copytree(paths.results("smoke"), paths.reference("smoke"))
    write_run("smoke+5", "results")
    assert verify.verify("smoke+5") == 0
    limits = tolerances.load(paths.noise("smoke"))
    path = paths.results("smoke+5", POOL) / "scores.csv"
    table = verify.read(path)
    models = table["model"].unique()
    table["score"] = (
        table.set_index("model")["score"].rename({models[0]: models[-1], models[-1]: models[0]}).loc[models].to_numpy()
    )
    table.to_csv(path, index=False, lineterminator="\n")
    capsys.readouterr()
    assert verify.verify("smoke+5") == 1
    assert f"{POOL}/scores.csv: score" in capsys.readouterr().out
    assert np.isfinite(list(limits.bounds.values())).all()
