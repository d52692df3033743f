"""`make noise`: what is run again and what is not, and what repetitions show."""

import shlex
import sys

import numpy as np
import pandas as pd
import pytest

from ncrepro.commands import cli as pipeline
from ncrepro.commands import noise, tolerances, verify
from ncrepro.lab import profiles
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
    verdicts = ["holds", rng.choice(["holds", noise.OPEN]), "does not hold", ""]
    index = pd.DataFrame({"figure": ["one", "two", "three", "four"], "verdict": verdicts})
    paths.figures(profile).mkdir(parents=True, exist_ok=True)
    index.to_csv(paths.figures(profile) / "index.csv", index=False)


@pytest.fixture
def command(root):
    """A run of everything that takes no time: its tables are put in place, and that it ran is left behind."""
    write_run("smoke", "reference")
    for repetition in range(1, 5):
        write_run(f"smoke+{repetition}", "prepared")
    return shlex.join(
        ["sh", "-c", "touch 'ran {profile}' && mkdir -p data/results && cp -r 'data/prepared/{profile}' data/results/"]
    )


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
    reference = pd.read_csv(paths.reference("smoke", POOL) / "accuracies.csv")
    both = wide.query("repetition == 0").merge(reference, on=["model", "target"])
    assert both["accuracy_x"].to_numpy() == pytest.approx(both["accuracy_y"].to_numpy(), rel=1e-5)
    summary = pd.read_csv(written / "summary.csv").query("pool != @SCRATCH").set_index(["what", "of"])["value"]
    assert summary["standard deviation of an accuracy", "one model on one target"] == pytest.approx(4, rel=0.35)
    assert summary["verdicts", "figures"] == 3
    assert summary["verdicts", "share that contradict each other in two runs"] == 0
    verdicts = pd.read_csv(written / "verdicts.csv").pivot(index="figure", columns="repetition", values="verdict")
    assert summary["verdicts", "figures that ever change"] == (verdicts.nunique(axis=1) > 1).sum()
    scale = pd.read_csv(written / "tolerances.csv").query("column == 'accuracy' and table == @POOL + '/accuracies.csv'")
    assert scale["scale"].item() == pytest.approx(
        4 * 2 / np.pi**0.5, rel=0.35
    )  # of two normal numbers, the mean difference
    for repetition in (1, 2, 3):  # the study's own repetitions lie within its limits
        assert verify.verify(f"smoke+{repetition}") == 0


def test_a_verdict_that_was_open_does_not_contradict():
    words = {
        "a": ("holds", "holds"),
        "b": ("holds", noise.OPEN),
        "c": ("holds", "does not hold"),
        "d": (noise.OPEN, "does not hold"),
    }
    verdicts = pd.DataFrame(
        [{"repetition": r, "figure": f, "verdict": word} for f, pair in words.items() for r, word in enumerate(pair)]
    )
    said = {of: value for _, _, of, value in noise._changes(verdicts)}
    assert said["share that differ between two runs"] == 0.75
    assert said["share that contradict each other in two runs"] == 0.25
    assert (said["figures that ever change"], said["figures that ever contradict"]) == (3, 1)


def test_what_is_there_is_not_run_again(command, root, capsys):
    write_run("smoke+1", "results")
    assert noise.noise("smoke", 2, command=command) == 0
    assert (root / "ran smoke+2").exists() and not (root / "ran smoke+1").exists()
    for path in (paths.results("smoke+2", POOL) / "scores.csv", root / "ran smoke+2"):  # a run that was not finished
        path.unlink()
    assert noise.noise("smoke", 3, command=command) == 0
    assert (root / "ran smoke+2").exists() and (root / "ran smoke+3").exists()


def test_a_committed_study_is_shown_on_a_machine_that_has_none_of_its_tables(command, root, capsys):
    assert noise.noise("smoke", 2, command=command) == 0
    for path in root.glob("ran *"):
        path.unlink()
    for path in paths.results("smoke+1", POOL).glob("*.csv"):
        path.unlink()
    capsys.readouterr()
    assert noise.noise("smoke", 2, command=command) == 0
    assert "2 repetitions are in data/reference/noise/smoke" in capsys.readouterr().out
    assert not list(root.glob("ran *"))


def test_a_repetition_that_fails_is_named_and_the_others_count(command, root, capsys):
    write_run("smoke+1", "results")
    write_run("smoke+2", "results")
    fails = shlex.join([sys.executable, "-c", "raise SystemExit(3)", "{profile}"])
    assert noise.noise("smoke", 3, command=fails) == 1
    said = capsys.readouterr()
    assert "smoke+3: " in said.err and "failed with exit status 3" in said.err
    assert "2 of 3 repetitions of 'smoke' are finished" in said.out


def test_the_light_form_runs_the_verbs_of_the_chosen_pools_and_leaves_the_committed_study_alone(
    command, root, monkeypatch, capsys
):
    called = []

    class Verbs(noise.Experiment):
        def __init__(self, pool, profile=None):
            called.append((pool, profile))
            super().__init__(pool, profile.partition("+")[0])
            self.named = profile

        def pretrain(self):
            write_run(self.named, "results")

        finetune = extract = score = correlate = lambda self: called.append(self.named)

    monkeypatch.setattr(noise, "Experiment", Verbs)
    monkeypatch.setattr(noise, "RANKING", ("pretraining", "accuracies", "scores", "correlations"))
    assert pipeline.main(["noise", "--repetitions", "2", "--only-ranking", "--pools", POOL]) == 0
    assert [name for name in called if isinstance(name, str)] == ["smoke"] * 4 + ["smoke+1"] * 4 + ["smoke+2"] * 4
    assert not paths.noise("smoke").exists()
    assert (paths.results("noise", "smoke") / "summary.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--repetitions", "1"], "two or more are needed"),
        (["--pools", POOL], "--pools is for --only-ranking"),
        (["--only-ranking", "--pools", "multi_sorce"], "did you mean 'multi_source'"),
        (["--command", "false"], "0 of 5 repetitions of 'smoke' are finished"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(command, capsys, arguments, said):
    assert pipeline.main(["noise", *arguments]) == 1
    assert said in capsys.readouterr().err


def test_tables_of_other_code_are_refused_by_name(command, root, capsys):
    for repetition in (1, 2):
        write_run(f"smoke+{repetition}", "results")
    path = paths.results("smoke+2", POOL) / "scores.csv"
    pd.read_csv(path).assign(more=1).to_csv(path, index=False)
    with pytest.raises(
        ValueError, match=r"smoke\+2/multi_source/scores.csv has other columns than .* it was made by other code"
    ):
        noise.noise("smoke", 2, command=command)


def test_a_run_whose_models_are_exchanged_is_refused_by_the_study(command, root, capsys):
    assert noise.noise("smoke", 4, command=command) == 0
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
