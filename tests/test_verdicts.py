"""Three words by one rule: draws, probabilities, and how often a verdict is wrong."""

import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from matplotlib import pyplot as plt

from ncrepro import ranking
from ncrepro.figures import index, neural_collapse
from ncrepro.lab import experiment, tasks
from ncrepro.ranking import resampling, verdicts
from ncrepro.ranking.resampling import Noise
from ncrepro.ranking.verdicts import UNKNOWN, Verdict, above, every, exact, likely, over, positive, some
from ncrepro.store import artifacts, paths

WORDS = (verdicts.HOLDS, verdicts.FAILS, verdicts.OPEN)

# The rule -------------------------------------------------------------------------------------------------------------


def test_a_statement_holds_from_95_percent_on_and_does_not_up_to_5():
    words = [likely(p).word for p in (0.96, 0.95, 0.94, 0.5, 0.06, 0.05, 0.04, np.nan)]
    assert words == ["holds"] * 2 + ["cannot be told here"] * 3 + ["does not hold"] * 2 + ["cannot be told here"]


def test_a_claim_of_many_statements_is_as_sure_as_the_least_sure_and_false_beyond_the_luck_of_many():
    assert every(likely(0.99), likely(0.96)).word == "holds"
    assert every(likely(0.99), likely(0.9)).word == "cannot be told here"
    assert every(*[likely(0.5)] * 9, likely(0.04)).word == "cannot be told here"  # one in ten is that low by luck
    assert every(*[likely(0.5)] * 9, likely(0.004)).word == "does not hold"
    assert (
        every(UNKNOWN, likely(0.01)).word == "does not hold"
        and every(UNKNOWN, likely(0.99)).word == "cannot be told here"
    )


@pytest.mark.parametrize("parts", [(0.99, 0.2), (0.999, 0.5, 0.5), (0.01, 0.04), (0.5, 0.96)])
def test_some_is_the_mirror_image_of_every(parts):
    one, other = some(*map(likely, parts)), every(*(likely(1 - p) for p in parts))
    assert (one.if_false, one.if_true) == pytest.approx((other.if_true, other.if_false))


def test_several_trainings_count_alike_and_one_that_knows_nothing_leaves_it_open():
    together = over(likely(0.99), likely(0.93), every(likely(0.98), likely(0.97)))
    assert together.if_false == pytest.approx((0.01 + 0.07 + 0.03) / 3) and together.word == "holds"
    assert over(likely(0.99), likely(0.99), likely(0.4)).word == "cannot be told here"
    assert over(likely(0.01), exact(False, "printed")).word == "does not hold"
    assert over(likely(0.99), UNKNOWN).word == "cannot be told here"
    with pytest.raises(ValueError, match="at least one"):
        over()


def test_claims_are_made_of_claims():
    nested = every(some(likely(0.999), likely(0.1)), exact(True, "printed"))
    assert nested.word == "holds"
    assert every(nested, exact(False, "printed")).word == "does not hold"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((True, False), "rests on probabilities"),
        ((np.True_, 0.5), "rests on probabilities"),
        ((1.2, 0.0), "rests on probabilities"),
        ((0.0, 0.0), "true and false"),
        ((0.01, 0.02), "true and false"),
    ],
)
def test_a_verdict_that_is_none_cannot_be_built(values, message):
    with pytest.raises(ValueError, match=message):
        Verdict(*values)


def test_a_verdict_is_neither_true_nor_false():
    with pytest.raises(TypeError, match="three words"):
        bool(exact(True, "printed"))
    with pytest.raises(ValueError, match="could have been otherwise"):
        exact(True, "")
    with pytest.raises(ValueError, match="at least one"):
        every()


def test_two_numbers_are_no_draws():
    with pytest.raises(ValueError, match="at least 100"):
        above([0.7], 0.6)


def test_the_rule_is_written_with_its_threshold_and_its_words():
    assert "95%" in verdicts.RULE and all(word in verdicts.RULE for word in WORDS)


def test_a_difference_with_a_known_error_is_judged_by_the_normal_distribution():
    found = positive([1.645, 0.0, 1.0, 1.0], [1.0, 2.0, 0.0, np.nan])
    assert [v.if_false for v in found] == pytest.approx([0.05, 0.5, 1, 1], abs=1e-4)
    assert [v.word for v in found[1:]] == ["cannot be told here"] * 3
    assert positive([1.645], [1.0], freedom=5)[0].if_false > 0.07  # a t distribution


# Draws ----------------------------------------------------------------------------------------------------------------

MODELS = pd.Index([f"m{i}" for i in range(8)], name="model")
TRUTH = pd.DataFrame({"t": [90.0, 85, 81, 80, 74, 70, 61, 55], "u": [40.0, 45, 30, 31, 22, 29, 10, 5]}, index=MODELS)


def scored(**by_metric):
    """Scores of each metric, the same for both targets."""
    return pd.concat(
        [
            pd.DataFrame({"model": MODELS, "target": target, "metric": metric, "score": np.asarray(values, float)})
            for metric, values in by_metric.items()
            for target in TRUTH
        ]
    )


PERFECT, ROUGH = np.arange(8.0, 0, -1), [7, 8, 5, 6, 4, 2, 3, 1]


@pytest.mark.parametrize("name", ["weighted_kendall", "pearson", "regret"])
def test_many_draws_at_once_are_what_one_is_alone(name):
    rng = np.random.default_rng(0)
    m, n = 7, 30
    s, a = rng.integers(0, 5, size=(3, m)).astype(float), rng.normal(size=(n, m)).round(1)  # with ties in both
    counts = rng.multinomial(m, [1 / m] * m, size=n)
    found = resampling._KERNELS[name](s, a, counts)
    for k in range(3):
        for draw in range(n):
            rows = np.flatnonzero(counts[draw]) if name == "regret" else np.repeat(np.arange(m), counts[draw])
            if np.ptp(s[k][rows]) > 0 and np.ptp(a[draw][rows]) > 0:
                assert found[k, draw] == pytest.approx(getattr(ranking, name)(s[k][rows], a[draw][rows]), abs=1e-9)
            elif name != "regret":
                assert found[k, draw] == 0  # no order


def test_two_identical_rankings_share_every_draw():
    scores = scored(one=ROUGH, double=np.multiply(ROUGH, 2.0), third=np.negative(PERFECT))
    draws = resampling.mean_over_targets(resampling.draws(scores, TRUTH, Noise(images=TRUTH * 0 + 3)))
    assert verdicts.probability(draws["one"], draws["double"]) == 0.5
    assert verdicts.best(draws[["one", "double"]]).tolist() == [0.5, 0.5]
    assert verdicts.best(draws)["one"] == verdicts.best(draws)["double"] > 0.49


def test_a_perfect_ranking_is_perfect_in_every_pool_and_keeps_its_mean_under_noise():
    of_t = TRUTH[["t"]]
    scores = scored(perfect=PERFECT, rough=ROUGH).query("target == 't'")
    clean = resampling.draws(scores, of_t, components=("models",))
    some_order = clean["perfect", "t"] > 0
    assert (
        clean["perfect", "t"][some_order].to_numpy() == pytest.approx(clean["perfect", "t"].max())
        and some_order.mean() > 0.99
    )
    noisy = resampling.draws(scores, of_t, Noise(images=of_t * 0 + 4))
    assert noisy["perfect", "t"].mean() == pytest.approx(1, abs=1e-3) and noisy["perfect", "t"].std() > 0.02
    low, high = resampling.interval(noisy)
    assert low["perfect", "t"] < 0.95 and high["perfect", "t"] == 1


def test_a_metric_that_gives_all_models_one_score_is_never_the_best_and_can_not_be_judged():
    scores = scored(flat=[1.0] * 8, rough=ROUGH)
    draws = resampling.mean_over_targets(resampling.draws(scores, TRUTH))
    assert draws["flat"].isna().all() and verdicts.best(draws).tolist() == [0, 1]
    assert (
        above(draws["flat"], draws["rough"]).word == above(draws["rough"], draws["flat"]).word == "cannot be told here"
    )
    assert (
        resampling.draws(scores, TRUTH, statistic="regret")["flat"].notna().all(axis=None)
    )  # a choice at random has its price


def test_fewer_than_five_models_tell_nothing_of_others():
    few = scored(rough=ROUGH).query("model in ['m0', 'm1', 'm2', 'm3']")
    draws = resampling.draws(few, TRUTH.iloc[:4])
    assert draws.isna().all(axis=None) and above(draws["rough", "t"]).word == "cannot be told here"
    assert resampling.draws(few, TRUTH.iloc[:4], components=("images", "training")).notna().all(axis=None)


def test_each_component_adds_to_the_spread_and_all_together_are_the_widest():
    scores, noise = scored(rough=ROUGH), Noise(images=TRUTH * 0 + 3, seeds=TRUTH * 0 + 3)
    spread = {
        name: resampling.draws(scores, TRUTH, noise, components=parts)["rough", "t"].std()
        for name, parts in {
            "models": ("models",),
            "images": ("images",),
            "training": ("training",),
            "both": ("images", "training"),
            "all": resampling.COMPONENTS,
            "none": (),
        }.items()
    }
    assert spread["none"] == 0 < spread["images"] < spread["both"] < spread["all"] and spread["models"] < spread["all"]
    assert spread["training"] == pytest.approx(spread["images"], rel=0.1)


def test_a_draw_takes_one_run_of_everything_its_scores_included():
    """In the repetition accuracies and scores are both turned round: together they agree, mixed they would not."""
    scores = scored(ncti=PERFECT)
    turned = {
        "accuracy": TRUTH.iloc[::-1].set_axis(MODELS),
        "ncti": pd.DataFrame(dict.fromkeys(TRUTH, PERFECT[::-1]), index=MODELS),
    }
    draws = resampling.draws(scores, TRUTH, Noise(runs=(turned,)), components=("training",))
    assert draws["ncti", "t"].to_numpy() == pytest.approx(1)
    unknown = Noise(runs=({"accuracy": turned["accuracy"]},))  # whose scores nobody kept: the present ones stand in
    halves = resampling.draws(scores, TRUTH, unknown, components=("training",))["ncti", "t"]
    assert sorted(halves.round(6).unique()) == [-1, 1] and (halves > 0).mean() == 0.5


def test_seeds_stand_for_the_training_only_where_nothing_was_repeated():
    run = {"accuracy": TRUTH, "rough": pd.DataFrame({t: np.asarray(ROUGH, float) for t in TRUTH}, index=MODELS)}
    noise = Noise(seeds=TRUTH * 0 + 20, runs=(run,))
    assert resampling.draws(scored(rough=ROUGH), TRUTH, noise, components=("training",))[
        "rough", "t"
    ].std() == pytest.approx(0)
    assert resampling.covers(noise) == "95 % of draws of other models and training (2 runs)"
    assert (
        resampling.covers(Noise(images=TRUTH, seeds=TRUTH))
        == "95 % of draws of other models, test images and fine-tuning (seeds)"
    )
    assert resampling.covers(noise, resampling.NONE) == "95 % of draws of other models only"


def test_a_run_that_lacks_a_model_is_left_out():
    run = {"accuracy": TRUTH.iloc[:-1], "rough": TRUTH.iloc[:-1]}
    assert Noise(runs=(run,)).like(TRUTH).runs == () and len(Noise(runs=(run,)).like(TRUTH.iloc[:-1]).runs) == 1


def test_a_model_can_be_left_out_of_draws_that_are_otherwise_the_same():
    noise = Noise(images=TRUTH * 0 + 4)
    scores = scored(rough=ROUGH)
    out = resampling.draws(scores[scores["model"] != "m3"], TRUTH, noise, components=("images",), n=200, without="m3")
    alone = resampling.draws(scores[scores["model"] != "m3"], TRUTH.drop("m3"), components=(), n=200)
    assert out.mean().to_numpy() == pytest.approx(alone.mean().to_numpy(), abs=1e-9)
    whole = resampling.draws(scores, TRUTH, noise, components=("images",), n=200)
    assert np.corrcoef(out["rough", "t"], whole["rough", "t"])[0, 1] > 0.5


def test_draws_are_the_same_every_time_and_refuse_what_they_do_not_know():
    scores, noise = scored(rough=ROUGH), Noise(images=TRUTH * 0 + 4)
    pd.testing.assert_frame_equal(resampling.draws(scores, TRUTH, noise), resampling.draws(scores, TRUTH, noise))
    with pytest.raises(ValueError, match="unknown statistic 'kendall': choose one of weighted_kendall"):
        resampling.draws(scores, TRUTH, statistic="kendall")
    with pytest.raises(ValueError, match="unknown component 'image': choose some of models, images, training"):
        resampling.draws(scores, TRUTH, components=("image",))


def test_the_error_of_an_accuracy_is_that_of_a_share():
    assert tasks.standard_error(50.0, 100) == 5.0 and tasks.standard_error(100.0, 100) == 0.0


def test_errors_are_added_up_and_pooled_over_models_where_there_are_runs():
    run = {"accuracy": TRUTH + 2}  # two runs that differ by 2: variance 2
    found = resampling.errors(TRUTH, Noise(images=TRUTH * 0 + 1, seeds=TRUTH * 0 + 9, runs=(run,)))
    assert found.to_numpy() == pytest.approx(np.sqrt(1 + 2))
    assert resampling.errors(TRUTH, resampling.NONE).isna().all(axis=None)


# How often a verdict is wrong -----------------------------------------------------------------------------------------


def universe(rng, n_models, quality, n_targets=2):
    """Models with a true worth, and metrics that see it so well (0: not at all), each with errors of its own."""
    worth = rng.normal(size=(n_models, 1)) + 0.5 * rng.normal(size=(n_models, n_targets))
    seen = np.asarray(quality)[:, None, None] * worth + 0.8 * rng.normal(size=(len(quality), n_models, 1))
    return worth, seen + 0.4 * rng.normal(size=seen.shape)


def a_run(rng, worth, seen, noise=0.3):
    """One training of these models: accuracies and scores, as the tables of a pool have them."""
    models = pd.Index([f"m{i}" for i in range(len(worth))], name="model")
    accuracies = pd.DataFrame(
        50 + 10 * (worth + noise * rng.normal(size=worth.shape)), models, [f"t{i}" for i in range(worth.shape[1])]
    )
    tables = [pd.DataFrame(s + 0.2 * rng.normal(size=s.shape), models, accuracies.columns) for s in seen]
    long = [table.melt(ignore_index=False, var_name="target", value_name="score").reset_index().assign(metric=f"k{k}")
            for k, table in enumerate(tables)]  # fmt: skip
    return pd.concat(long), accuracies, {"accuracy": accuracies, **{f"k{k}": table for k, table in enumerate(tables)}}


def answers(scores, accuracies, noise):
    """Is k0 above 0? Is it better than k1? Is it the best of all?"""
    draws = resampling.mean_over_targets(resampling.draws(scores, accuracies, noise, n=200))
    return [
        above(draws["k0"]),
        above(draws["k0"], draws["k1"]),
        every(*(above(draws["k0"], draws[m]) for m in draws.columns[1:])),
    ]


@pytest.mark.parametrize("n_models", [6, 12])
def test_where_there_is_nothing_to_tell_a_verdict_is_wrong_in_one_of_twenty_at_most(n_models):
    """No metric sees anything: what holds and what does not is luck, and either word is wrong for one of two metrics
    alike.
    """
    rng, n = np.random.default_rng(0), 80
    words = np.array(
        [
            [v.word for v in answers(*a_run(rng, *universe(rng, n_models, [0] * 4))[:2], resampling.NONE)]
            for _ in range(n)
        ]
    )
    chance = 0.05 + 2 * np.sqrt(0.05 * 0.95 / n)  # two standard errors of the count
    for question in words.T:
        for word in ("holds", "does not hold"):
            assert np.mean(question == word) <= chance


def test_a_metric_that_is_better_is_found_to_be_and_hardly_ever_the_contrary():
    rng, n = np.random.default_rng(0), 25
    words = np.array(
        [
            [v.word for v in answers(*a_run(rng, *universe(rng, 20, [2, 0, 0, 0]))[:2], resampling.NONE)]
            for _ in range(n)
        ]
    )
    assert (words == "does not hold").mean() <= 0.01
    assert ((words == "holds").mean(axis=0) > [0.95, 0.8, 0.6]).all()


def test_training_again_never_turns_a_verdict_round_and_seldom_changes_it():
    """The same models trained six times; each run asks with the other five as its repetitions, as the noise study
    provides them.
    """
    rng = np.random.default_rng(1)
    changed, turned, n = 0, 0, 0
    for quality in ([2, 0, 0, 0], [1, 0.8, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], [0, 1, 1, 1]):
        for _ in range(3):
            worth, seen = universe(rng, 12, quality)
            made = [a_run(rng, worth, seen) for _ in range(6)]
            words = np.array(
                [
                    [
                        v.word
                        for v in answers(scores, truth, Noise(runs=tuple(run for _, _, run in made if run is not own)))
                    ]
                    for scores, truth, own in made
                ]
            )  # (runs, questions)
            for question in words.T:
                kinds, counts = np.unique(question, return_counts=True)
                n, changed = n + len(question), changed + len(question) - counts.max()
                turned += {"holds", "does not hold"} <= set(kinds)
    assert turned == 0 and changed / n <= 0.05


# Every claim ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tables(root):
    """The committed tables of the demo as its results, and some times, which are never committed."""
    shutil.copytree(REPOSITORY / "data" / "reference" / "demo", paths.results("demo"), dirs_exist_ok=True)
    shutil.copytree(REPOSITORY / "data" / "published", paths.published())
    for pool in ("supervised", "selfsupervised"):
        known = set(
            experiment.Experiment(pool, "demo").read("scores")["metric"]
        )  # without a source classifier no LEEP and no NCE
        of_metrics = {m: (1.0, 0.5) for m in ("ncti", "nce", "leep", "logme", "nleep", "sfda") if m in known}
        rows = [(way, m, *values, 0.1) for way in ("this package", "plain") for m, values in of_metrics.items()]
        write(
            pool,
            "seconds_cost",
            pd.DataFrame(rows, columns=["implementation", "metric", "seconds", "weighted_kendall", "error"]),
        )
        for step in ("extract", "finetune"):
            write(pool, f"seconds_{step}", pd.DataFrame({"seconds": [2.0]}))


def write(pool, name, table):
    artifacts.write_table(paths.results("demo", pool) / f"{name}.csv", table)


def test_claims_get_the_word_that_their_tables_support(tables):
    """Those of all figures that committed tables draw are judged in `test_figures_on_the_page`."""
    index.everything()
    words = {}
    for name in ("face_fig2", "ncti_fig2", "ncti_fig4", "published_audit", "stability_ground_truth"):
        shown = index._ENTRIES[name].draw("demo")
        plt.close(shown.figure)
        words[name] = shown.verdict.word
        assert shown.found and "nan" not in shown.found
    assert len([entry for entry in index.everything() if entry.claim]) > 40
    assert words.pop("ncti_fig4") in WORDS
    assert words == {
        "face_fig2": "cannot be told here",  # one network
        "ncti_fig2": "cannot be told here",  # four
        "published_audit": "does not hold",
        "stability_ground_truth": "does not hold",
    }


def test_the_notebooks_say_the_words(tables):
    shown = neural_collapse.face_fig3("demo")
    assert shown.caption.startswith(f"*Figure: {shown.entry.shows}.* `face_fig3`, drawn by `ncrepro/figures/")
    assert "`.\n\n**Holds**: feature spaces" in shown.caption
    assert f"- {shown.finding}" in index.findings().splitlines()
