"""What the data of a pool look like, whatever its task."""

from matplotlib.figure import Figure

from ..lab import datasets
from ..lab.experiment import Experiment
from . import plots
from .plots import scenes as scene_plots


def examples(study: Experiment) -> Figure:
    """Some of every source and target of a pool, sources on top."""
    names = (*study.pool.sources, *study.pool.targets)
    title = "What the models are pre-trained on, and the targets they are fine-tuned for"
    if study.pool.task == "segmentation":
        return scene_plots.scene_rows([study.task.load(name, "train") for name in names], title=title)
    if study.pool.task == "text":
        from . import text  # here, so that pools of images do not wait for transformers

        return text.examples([name for name in names if name != study.task.NOTHING], title)
    return plots.examples([datasets.load(name, "train") for name in names], title=title)
