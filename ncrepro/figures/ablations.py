"""The figures of `30_ablations`."""

from itertools import product

import pandas as pd

from .. import ranking
from ..lab import analyses, published
from ..lab.analyses import ablations, part_of, read
from ..lab.experiment import Experiment
from ..ranking import resampling
from ..ranking.verdicts import Verdict, above, every, positive, probability
from . import charts
from .display_names import label
from .findings import is_best
from .index import Checked, figure

# ours -> FaCe Table 4's
ZOOS = {"supervised": "single_source", "multi_source": "multi_source", "loss_functions": "loss_functions"}
ROWS = {"VC": "variance_collapse", "CF": "class_fairness", "VC + CF": "face"}  # ours -> Table 4's
MATH = {"weighted_kendall": r"$\tau_w$", "pearson": r"$\rho$"}
ALL_TERMS = "seli + ncc − vc"


def panel_names(table: pd.DataFrame) -> pd.Series:
    """What stands above a pool's panel."""
    return table["pool"].map(label).str.replace("_", " ") + ", " + table["n_models"].astype(str) + " models"


def _averages(profile: str, name: str) -> pd.DataFrame:
    """One row per pool and metric: the averages over targets."""
    return read(profile, "ablations", name).query("target == 'average'")


def _draws_of_terms(
    pool: str, profile: str, paper: str, names: dict[str, str], statistic: str = "weighted_kendall"
) -> pd.DataFrame:
    """What each subset of a metric's terms could have been worth on a paper's own pool: draws x subsets."""
    study, subset = part_of(pool, profile, paper)
    terms, accuracies = analyses.terms_of(study, subset, paper)
    scores = ablations.term_subsets(terms, names)
    return resampling.mean_over_targets(resampling.draws(scores, accuracies, study.noise(subset), statistic))


def _fig5_holds(profile: str) -> tuple[str, Verdict]:
    table = _averages(profile, "ncti_terms").pivot(index="metric", columns="pool", values="weighted_kendall")
    best_of_paper = {"supervised": "seli", "selfsupervised": "ncc"}
    single = table.loc[list(ablations.NCTI_TERMS.values())]
    best = {pool: single[pool].idxmax() for pool in best_of_paper if pool in table}
    texts = [
        f"{pool}: best alone {best[pool]} ({single[pool].max():.2f}), all three {table.at[ALL_TERMS, pool]:.2f}"
        for pool in best
    ]
    verdicts = []
    for pool in best:
        draws = _draws_of_terms(pool, profile, "ncti", ablations.NCTI_TERMS)[list(single.index)]
        text, verdict = is_best(draws, best_of_paper[pool], list(single.index))
        texts.append(f"{pool}: {best_of_paper[pool]} {text}")
        verdicts += [verdict, *(above(draws[term]) for term in draws)]
    return "; ".join(texts), every(*verdicts)


@figure(
    shows="NCTI by each of its terms alone, by each pair, and by all three, on every pool",
    claim="every term alone ranks above chance; the best is seli on supervised, ncc on self-supervised models",
)
def ncti_fig5(profile: str) -> Checked:
    table = _averages(profile, "ncti_terms")
    table = table.assign(panel=panel_names(table), row=table["metric"])
    title = "Which of NCTI's terms does the ranking? Single terms, pairs, all three"
    lines = f"{charts.TAU} over targets; lines: {analyses.covered_by_intervals(profile, 'ncti')}"
    return charts.rows(table, title, lines), *_fig5_holds(profile)


def _fig6_weights_hold(profile: str) -> tuple[str, Verdict]:
    table = ranking.mean_agreement(read(profile, "ablations", "ncti_weights"), ["pool", "term", "weight"])
    table = table[table["pool"].isin(["supervised", "selfsupervised"])]
    high = (table["weighted_kendall"] >= 0.7).mean()
    equal = table[table["weight"] == 1].groupby("pool")["weighted_kendall"].first()
    lost = (table.groupby("pool")["weighted_kendall"].max() - equal).max()
    text = f"{high:.0%} of the settings reach 0.7; equal weights are at most {lost:.2f} below the best"
    text += f"; the median setting reaches {table['weighted_kendall'].median():.2f}"
    draws = []
    for pool in ("supervised", "selfsupervised"):
        study, subset = part_of(pool, profile, "ncti")
        terms, accuracies = analyses.terms_of(study, subset, "ncti")
        draws.append(analyses.draws_of(ablations.weighted(terms), accuracies, study.noise(subset), ["term", "weight"]))
    half = pd.concat(draws, axis=1).median(axis=1, skipna=False)  # what half of the settings reach
    return text, above(half, 0.7)


@figure(
    shows="NCTI with the weight of one term changed and the others left at 1, on every pool",
    claim="with most weights the mean τ_w is at least 0.7",
)
def ncti_fig6_weights(profile: str) -> Checked:
    table = ranking.mean_agreement(read(profile, "ablations", "ncti_weights"), ["pool", "n_models", "term", "weight"])
    table = table.assign(
        panel="weight of " + table["term"].map(ablations.NCTI_TERMS).str.removeprefix("−"),
        line=panel_names(table).str.replace(", ", "\n"),
        x=table["weight"],
        y=table["weighted_kendall"],
    )
    title = "Does the weight of a term matter? (dashed: the paper's)"
    return charts.curves(table, title, "weight (the other two are 1)", mark=1), *_fig6_weights_hold(profile)


def _table4_holds(profile: str) -> tuple[str, Verdict]:
    table, short, verdicts = _averages(profile, "face_terms").set_index(["pool", "metric"]), [], []
    for pool, (statistic, symbol) in product(ZOOS, published.SYMBOLS.items()):
        both, better = table.at[(pool, "VC + CF"), statistic], table.loc[pool].loc[["VC", "CF"], statistic].max()
        short.append(f"{pool.replace('_', ' ')}, {symbol} {both:.2f} against {better:.2f}")
        draws = _draws_of_terms(pool, profile, "face", ablations.FACE_TERMS, statistic)
        verdicts += [above(draws["VC + CF"], draws[term]) for term in ("VC", "CF")]
    return "both terms against the better one: " + "; ".join(short), every(*verdicts)


@figure(
    shows="FaCe by its variance collapse alone, its class fairness alone, and both, on three pools: printed, and here",
    claim="on every pool both terms together rank at least as well as the better one alone",
)
def face_table4(profile: str) -> Checked:
    ours, of_paper = _averages(profile, "face_terms").set_index("metric"), published.load("face_table4")
    printed, here = pd.DataFrame(index=list(ROWS)), pd.DataFrame(index=list(ROWS))  # columns: pool and statistic
    for pool, statistic in product(ZOOS, published.SYMBOLS):
        name = f"{pool.replace('_', ' ')}, {MATH[statistic]}"
        of_zoo = of_paper.query("pool == @ZOOS[@pool] and statistic == @statistic").set_index("metric")["value"]
        printed[name] = of_zoo[ROWS.values()].to_numpy()
        here[name] = ours.loc[ours["pool"] == pool, statistic]
    shown = {"printed: 15, 30 and 21 models": printed, f"here, profile {profile}": here}
    title = "FaCe Table 4: are both terms needed?"
    return charts.correlation_heatmap(shown, title, "correlation"), *_table4_holds(profile)


def _table5_holds(profile: str) -> tuple[str, Verdict]:
    table = _averages(profile, "face_terms").query("pool == 'supervised'").set_index("metric")
    texts = [
        f"{symbol}: CF {table.at['CF', s]:.2f}, NC2(A) {table.at['nc2_a', s]:.2f}"
        for s, symbol in published.SYMBOLS.items()
    ]
    study, subset = part_of("supervised", profile, "face")
    terms, accuracies = analyses.terms_of(study, subset, "face")
    scores = pd.concat([ablations.term_subsets(terms, ablations.FACE_TERMS), study.read("nc2_a")])
    verdicts = []
    for s, symbol in published.SYMBOLS.items():
        draws = resampling.mean_over_targets(resampling.draws(scores, accuracies, study.noise(subset), s))
        verdicts.append(above(draws["CF"], draws["nc2_a"]))
        texts.append(f"CF higher by {symbol} in {probability(draws['CF'], draws['nc2_a']):.0%} of draws")
    return "; ".join(texts), every(*verdicts)


@figure(
    shows="class fairness against the equiangularity measure NC2(A), FaCe's pool: printed averages, and here by target",
    claim="CF ranks better than NC2(A)",
)
def face_table5(profile: str) -> Checked:
    ours = read(profile, "ablations", "face_terms").query("pool == 'supervised' and metric in ['CF', 'nc2_a']")
    printed = published.load("face_table5").pivot(index="metric", columns="statistic", values="value")
    printed = printed.rename(index={"class_fairness": "CF"}, columns=MATH)[list(MATH.values())]
    shown = {"printed averages: 15 models, 6 targets": printed}
    for statistic, symbol in MATH.items():
        here = ours.pivot(index="metric", columns="target", values=statistic)[ours["target"].unique()]
        shown[f"{symbol}, here: {ours['n_models'].iloc[0]} models, profile {profile}"] = here
    title = "FaCe Table 5: do equal overlaps rank better than equal angles?"
    return charts.correlation_heatmap(shown, title, "correlation"), *_table5_holds(profile)


def _temperatures(profile: str) -> pd.DataFrame:
    """Averages over targets along t, all else as by default."""
    table = read(profile, "ablations", "face_choices").query("covariance == 'diagonal' and n_components == 64")
    return ranking.mean_agreement(table, ["pool", "n_models", "include_self", "metric", "temperature"])


def _temperature_holds(profile: str) -> tuple[str, Verdict]:
    table = _temperatures(profile).query("metric == 'face' and not include_self")
    table = table.pivot(index="temperature", columns="pool", values="weighted_kendall")
    best, lost = table.idxmax(), table.max() - table.loc[0.05]
    text = "; ".join(f"{pool}: best at t = {best[pool]:g}, 0.05 loses {lost[pool]:.2f}" for pool in table)
    moves = _moves(profile).query("covariance == 'diagonal' and n_components == 64 and not include_self")
    return text, every(*positive(0.05 - moves["difference"], moves["error"]))


def _moves(profile: str) -> pd.DataFrame:
    """How far FaCe's mean weighted Kendall moves from the default's, every pool: (*DEFAULT, difference, error)."""
    return pd.concat([Experiment(pool, profile).read("face_choices_moves") for pool in analyses.pools(profile)])


@figure(
    shows="how well CF alone and FaCe rank over three decades of the temperature, with and without the overlap of a "
    "class with itself",
    claim="(FaCe, open question) the paper's t = 0.05 is within 0.05 of the best t on every pool",
)
def ablation_temperature(profile: str) -> Checked:
    table = _temperatures(profile).query("metric in ['class_fairness', 'face']")
    kind = table["include_self"].map({False: "without j = i", True: "with j = i, as printed"})
    line = table["metric"].map({"class_fairness": "CF alone", "face": "FaCe"}) + "\n" + kind
    table = table.assign(panel=panel_names(table), line=line, x=table["temperature"], y=table["weighted_kendall"])
    title = "Does FaCe depend on its temperature? (dashed: the paper's 0.05)"
    return charts.curves(table, title, "temperature t", log=True, mark=0.05), *_temperature_holds(profile)


def _covariances(profile: str) -> pd.DataFrame:
    """FaCe without j = i, averages over targets, for each covariance and number of PCA dimensions (NaN: no PCA)."""
    chosen = "temperature == 0.05 and metric == 'face' and not include_self"
    table = read(profile, "ablations", "face_choices").query(chosen)
    return ranking.mean_agreement(table, ["pool", "n_models", "covariance", "n_components"])


def _covariance_holds(profile: str) -> tuple[str, Verdict]:
    by_pool = _covariances(profile).groupby("pool", sort=False)["weighted_kendall"]
    spread = by_pool.max() - by_pool.min()
    text = "; ".join(f"{pool.replace('_', ' ')}: {value:.2f}" for pool, value in spread.items())
    moves = _moves(profile).query("temperature == 0.05 and not include_self")
    return f"FaCe's best minus worst mean τ_w over these choices: {text}", every(
        *positive(0.1 - moves["difference"], moves["error"]), *positive(0.1 + moves["difference"], moves["error"])
    )


@figure(
    shows="mean weighted Kendall of FaCe for each covariance and number of PCA dimensions, on every pool",
    claim="(ours) the choices that the paper leaves open, covariance and PCA, change FaCe's mean τ_w by less than 0.1",
)
def ablation_covariance(profile: str) -> Checked:
    table = _covariances(profile)
    sizes = sorted(table["n_components"].dropna().unique())
    x = table["n_components"].fillna(2 * sizes[-1])  # no PCA stands at the right of the largest
    table = table.assign(panel=panel_names(table), line=table["covariance"], x=x, y=table["weighted_kendall"])
    title = "Does FaCe depend on what its paper leaves open? (grey: within 0.1 of our choice, diagonal and PCA 64)"
    shown = charts.curves(table, title, "dimensions after PCA", log=True, names="covariance")
    ours = table.query("covariance == 'diagonal' and n_components == 64").set_index("panel")["y"]
    for ax in shown.axes:
        if ax.get_title() in ours:
            ax.axhspan(ours[ax.get_title()] - 0.1, ours[ax.get_title()] + 0.1, color="0.9", lw=0, zorder=-1)
        ax.set_xticks([*sizes, 2 * sizes[-1]], [*(f"{size:.0f}" for size in sizes), "none"])
    return shown, *_covariance_holds(profile)


SHOWN = ("class_fairness", "variance_collapse", "face", "ncti", "logme")


def _imbalance(profile: str) -> pd.DataFrame:
    """Averages over targets, mean and range over draws: (metric, balanced, ratio, y, low, high)."""
    table = ranking.mean_agreement(read(profile, "ablations", "imbalance"), ["metric", "balanced", "ratio", "draw"])
    groups = table.groupby(["metric", "balanced", "ratio"], as_index=False)
    of_draws = groups["weighted_kendall"].agg(y="mean", low="min", high="max")
    whole = of_draws[of_draws["ratio"] == 1].assign(balanced=False)  # both lines begin at the whole target
    return pd.concat([of_draws, whole])


def _imbalance_holds(profile: str) -> tuple[str, Verdict]:
    table = _imbalance(profile).query("metric == 'class_fairness'").set_index(["balanced", "ratio"])["y"]
    worst = table.index.get_level_values("ratio").max()
    skewed, even = table[False, worst], table[True, worst]
    text = (
        f"CF's mean τ_w: whole target {table[True, 1.0]:.2f}, classes 1 : 1/{worst:g} {skewed:.2f}, the same "
        f"number of images removed evenly {even:.2f}"
    )
    moves = read(profile, "ablations", "imbalance_moves").query("ratio == @worst")
    return text, every(*positive(0.05 + moves["difference"], moves["error"]))


@figure(
    shows="how well the metrics rank when the target's classes are made unequal in size, and when the same number of "
    "images is removed evenly",
    claim="(FaCe, a check that its summary asks for) class fairness also works on imbalanced targets",
)
def imbalance_class_fairness(profile: str) -> Checked:
    table = charts.in_order(_imbalance(profile), "metric", SHOWN)
    line = table["balanced"].map({False: "uneven:\n1 to 1/ratio", True: "even,\nsame number"})
    table = table.assign(panel=table["metric"].map(label), line=line, x=table["ratio"])
    title = "Do the metrics also work on imbalanced targets? Bands: range over draws"
    look = {"log": True, "columns": 5, "names": "images removed"}
    return charts.curves(table, title, "largest class : smallest class", **look), *_imbalance_holds(profile)
