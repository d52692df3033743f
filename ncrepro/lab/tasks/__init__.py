"""What a pool's models are trained to do, one module per kind of task.

Each module has the same three steps, which `experiment` runs and keeps:
``pretrain(spec)``, ``finetune(spec, pretrained_spec, pretrained)`` and ``extract(spec, pretrained_spec, pretrained)``.
It also says which names it knows (``ARCHITECTURES``, ``LOSSES``, ``DATASETS``), and which module of
`ncrepro.lab.datasets` reads a data set (``reader(name)``, None for a name that stands for no data). It may ``check`` a
pool, and say which data sets and losses this has to do without (``unobtainable``: their names, and what to do).
"""

import numpy as np


def standard_error(accuracy: float, n: int) -> float:
    """How far an accuracy (per cent) on ``n`` test images strays by the choice of these images: points, binomial.

    As if every model had test images of its own. Models that share them stray together, so their order strays less.
    """
    return float(np.sqrt(accuracy * (100 - accuracy) / n))
