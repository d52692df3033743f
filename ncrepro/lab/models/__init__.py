"""Networks by name, with seeded random weights."""

from torch import nn

from ...extraction import last_layer
from ...store import pinned_arithmetic
from ...store.schema import refuse_unknown
from .vision import ARCHITECTURES, FACE_POOL, NCTI_POOL

pinned_arithmetic.make_torch_deterministic()  # here, since whatever trains or extracts has a network

__all__ = ["FACE_POOL", "NCTI_POOL", "build", "names"]


def names() -> tuple[str, ...]:
    """Every architecture that `build` knows."""
    return tuple(ARCHITECTURES)


def build(name: str, n_classes: int, seed: int) -> nn.Module:
    """A reduced network with seeded random weights.

    Parameters
    ----------
    name : str
        One of `names`.
    n_classes : int
        Outputs of the last linear layer.
    seed : int
        Draws the weights: the same seed gives the same bits. The global random state is left as it was.

    Returns
    -------
    torch.nn.Module
        Takes what `ncrepro.lab.training.prepare` returns, float32 of shape (n, 3, 32, 32), and gives logits of shape
        (n, n_classes). Carries its ``name``.

    Raises
    ------
    ValueError
        If there is no such architecture, or ``n_classes`` is under 2.
    """
    refuse_unknown("model", name, ARCHITECTURES)
    with last_layer.seeded_weights(n_classes, seed):
        network = ARCHITECTURES[name](n_classes)
        network.apply(_initialise)
    network.name = name
    return network


def _initialise(module: nn.Module) -> None:
    """One random start for every architecture: He et al. (2015) for convolutions, PyTorch's own for linear layers."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()
        module.momentum = 0.1  # with the .0003 of torchvision's MNASNet, statistics stay near their start for long
    elif isinstance(module, nn.Linear):
        module.reset_parameters()
