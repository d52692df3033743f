"""The figures of `01_neural_collapse`."""

from matplotlib.figure import Figure

from ..lab import toy
from ..lab.trajectories import MEASURES, TERMINAL, Trajectories, order_kept, pairs_kept, terminal_epoch
from ..ranking.verdicts import UNKNOWN, Verdict, above, every, exact, probability
from . import figure
from .plots import collapse

KEPT = 0.75  # "mostly": three of four pairs of models


def _face_fig1_holds(profile: str) -> tuple[str, Verdict]:
    following = Trajectories(profile).read("following")
    kept, draws = order_kept(following).groupby("target", sort=False)["pairs_kept"].last(), pairs_kept(following)
    chances = {target: probability(draws[target], KEPT) for target in draws}
    text = ", ".join(f"{target} {100 * share:.0f} % (enough in {chances[target]:.0%} of draws)" for target, share in kept.items())
    return f"pairs kept: {text}", every(*(above(draws[target], KEPT) for target in draws))


@figure(
    shows="variance collapse of one model of each family, before and after every epoch of fine-tuning on two targets",
    notebook="01_neural_collapse",
    claim="the order of the models by collapse mostly stays (here: at least 75 % of the pairs on both targets)",
    holds=_face_fig1_holds,
)
def face_fig1(profile: str) -> Figure:
    following = Trajectories(profile).read("following")
    title = "Does the order of the pre-trained models by collapse survive fine-tuning?"
    return collapse.followed(following, order_kept(following), title)


def _face_fig2_holds(profile: str) -> tuple[str, Verdict]:
    measures = Trajectories(profile).read("terminal_phase")
    begins = terminal_epoch(measures)
    if begins is None:
        return "the terminal phase was not reached", UNKNOWN
    start, end = measures.set_index("epoch").loc[begins], measures.iloc[-1]
    rising = [name for name in MEASURES if end[name] > start[name]]
    text = f"from epoch {begins} to {len(measures)}: NC1 {start['nc1']:.3f} to {end['nc1']:.3f}"
    text += f", NC3 {start['nc3']:.2f} to {end['nc3']:.2f}"
    return f"{text}; not falling: {', '.join(rising) or 'none'}; one network, trained once", UNKNOWN


@figure(
    shows="three classes in the plane while a network is trained far beyond its last mistake, and NC1 to NC4 by epoch",
    notebook="01_neural_collapse",
    claim="in the terminal phase all four go towards 0 (here: none is larger at the end than at its start)",
    holds=_face_fig2_holds,
)
def face_fig2(profile: str) -> Figure:
    study = Trajectories(profile)
    measures = study.read("terminal_phase")
    what = "three classes become a triangle (arrows: the classifier's weights)"
    title = f"{TERMINAL['architecture']} on {TERMINAL['dataset']}: {what}"
    return collapse.terminal_phase(study.read("terminal_plane"), measures, terminal_epoch(measures), title)


def _face_fig3_holds(profile: str) -> tuple[str, Verdict]:
    ends = Trajectories(profile).read("equal_collapse").iloc[[0, -1]]
    (even, biased), terms = ends.to_dict("records"), ("variance_collapse", "class_fairness")
    text = f"C {even[terms[0]]:.3f} and {biased[terms[0]]:.3f}, F {even[terms[1]]:.2f} and {biased[terms[1]]:.2f}"
    equal = abs(even["variance_collapse"] / biased["variance_collapse"] - 1) < 0.01
    return text, exact(equal and even["class_fairness"] > biased["class_fairness"], "built feature spaces")


@figure(
    shows="two built feature spaces of equal variance collapse, and all between them",
    notebook="01_neural_collapse",
    claim="spaces alike in variance collapse can differ in class fairness, which is larger where no class is set apart",
    holds=_face_fig3_holds,
)
def face_fig3(profile: str) -> Figure:
    sweep = Trajectories(profile).read("equal_collapse")
    ends = {"even": sweep.iloc[0], "biased": sweep.iloc[-1]}
    points = toy.as_table({name: toy.clouds(row["bias"], row["spread"]) for name, row in ends.items()})
    captions = {name: f"C = {row['variance_collapse']:.3f},  F = {row['class_fairness']:.2f}\n"
                      f"worst class {100 * row['worst']:.0f} % right" for name, row in ends.items()}  # fmt: skip
    captions = {name: text.replace("-", "−") for name, text in captions.items()}
    return collapse.fairness(points, captions, sweep, "Equally collapsed, not equally fair")
