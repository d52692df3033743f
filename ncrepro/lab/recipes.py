"""How each task trains, and what a profile may say of it; needs no torch, so that every profile is checked first."""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Annotated, NamedTuple, Self

from ..store import schema
from ..store.schema import Count, Positive, Share, Text

SIZE = 32  # pixels, height and width of what the reduced networks see
OPTIMISERS = ("adamw", "sgd")
GROUND_TRUTHS = ("published", "finetune")
AUTHORS = "authors"  # as weights: those of `imagenet.RELEASED`, which are trained on nothing else
IMAGENET = "imagenet"  # the source of the published weights; never read here
PAIR = "+"  # between the names of a pair's image encoder and text encoder, and between their sources


class _Checked:
    def __post_init__(self) -> None:
        schema.check(self, "recipe")


@dataclass(frozen=True)
class Descent(_Checked):
    """What all training that is made from random weights has: warm-up, a decay of the learning rate, gradient clipping.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the data; examples per step. What does not fill a batch at an epoch's end is left out.
    learning_rate : float
        The peak of the schedule, see `ncrepro.lab.training_loop.learning_rates`.
    weight_decay : float
    warmup : float
        Share of all steps over which the learning rate rises.
    clip : float
        Largest Euclidean norm of the gradient of all weights together.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: Share = 1e-4
    warmup: Share = 0.1
    clip: Positive = 5.0


@dataclass(frozen=True)
class Momentum(Descent):
    """Stochastic gradient descent with Nesterov ``momentum`` and a cosine decay; other parameters as for `Descent`.

    Each step moves its images at random by up to ``shift`` pixels along both axes, borders reflected; 0 leaves them.
    """

    weight_decay: Share = 5e-4
    momentum: Share = 0.9
    shift: Annotated[int, schema.whole_number(0, SIZE - 1)] = 2


@dataclass(frozen=True)
class Unlabelled(Descent):
    """AdamW with a cosine decay, for objectives that need no labels."""


@dataclass(frozen=True)
class Polynomial(Descent):
    """AdamW (Loshchilov & Hutter, 2019), or gradient descent with momentum 0.9, with a polynomial decay.

    ``power`` is that of the decay: 1 is a line. Other parameters as for `Descent`.
    """

    optimiser: Annotated[str, schema.one_of(*OPTIMISERS)] = "adamw"
    power: Positive = 0.9


@dataclass(frozen=True)
class Constant(_Checked):
    """Stochastic gradient descent at a constant learning rate.

    FaCe prints epochs, batch size and learning rate (20, 64, 0.01; 100 epochs on a source); momentum, weight decay and
    the random crop and mirroring of the images are ours. A list of learning rates or weight decays is a grid, as in the
    fine-tuning behind NCTI's table: the pair that does best on a tenth of the training images is then trained on all.
    """

    epochs: Count
    batch_size: Count
    learning_rate: Annotated[float | list[float], schema.one_or_more(Positive.__metadata__[0])]
    momentum: Share = 0.9
    weight_decay: Annotated[float | list[float], schema.one_or_more(Share.__metadata__[0])] = 0.0
    precision: Text = "float32"  # one of `extraction.PRECISIONS`

    warmup, clip = 0.0, math.inf  # there is neither

    def grid(self) -> list[Self]:
        """The same with each pair of a learning rate and a weight decay."""
        rates, decays = (x if isinstance(x, (list, tuple)) else [x] for x in (self.learning_rate, self.weight_decay))
        return [replace(self, learning_rate=rate, weight_decay=decay) for rate, decay in product(rates, decays)]


# What else a profile says of the networks that others pre-trained; see `imagenet`.


@dataclass(frozen=True)
class Weights:
    """Published weights, and how their images are prepared."""

    weights: Text
    transform: Text


@dataclass(frozen=True)
class TrainedOn(Constant, Weights):
    """Published weights, trained on another source first."""


@dataclass(frozen=True)
class Truth:
    """Where the accuracies come from."""

    ground_truth: Annotated[str, schema.one_of(*GROUND_TRUTHS)]


@dataclass(frozen=True)
class Tuned(Constant, Truth):
    """Accuracies of a fine-tuning that is run here."""


@dataclass(frozen=True)
class Extraction:
    """Which images features are taken of, and at which precision."""

    split: Text
    precision: Text


@dataclass(frozen=True)
class Encoders:
    """The pools of the same profile whose pre-trained models are the encoders of pairs."""

    images: Text
    texts: Text


@dataclass(frozen=True)
class Nothing:
    """A step that leaves no choice."""


class Task(NamedTuple):
    """The recipes of a task's three steps, and the accuracies by which its pools may be judged."""

    pretrain: type
    finetune: type
    extract: type = Nothing
    truths: tuple[str, ...] = ("accuracy",)


TASKS = {
    "classification": Task(Momentum, Momentum),
    "full_size": Task(Momentum, Momentum),
    "selfsupervised": Task(Unlabelled, Momentum),
    "segmentation": Task(Polynomial, Polynomial, truths=("accuracy", "mean_iou")),
    "text": Task(Polynomial, Polynomial),
    "imagenet": Task(Weights, Truth, Extraction, ("accuracy", "published", "top1")),
}


def tasks() -> dict[str, Task]:
    """Every task by name.

    What trains a network rests on the statements of this module, ``TASKS`` among them, but not on this function: a task
    that is entered here leaves the networks of the others as they are.
    """
    return {
        **TASKS,
        "time_series": Task(Polynomial, Polynomial),
        "modalities": Task(
            Encoders,
            Polynomial,
            truths=("accuracy", "late", "images", "texts", "without_images", "without_texts"),
        ),
    }


def check(task: str, step: str, sources: tuple[str, ...], where: str, given: dict) -> None:
    """Refuse a recipe that the ``step`` of a task cannot follow."""
    kind = getattr(tasks()[task], step)
    if kind is Weights and set(sources) != {IMAGENET} and given.get("weights") != AUTHORS:
        kind = TrainedOn
    if kind is Truth and given.get("ground_truth") != "published":
        kind = Tuned
    schema.read(kind, where, given)
