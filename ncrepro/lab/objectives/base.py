"""What all self-supervised objectives share: a network, a projection head, and hooks into its training."""

import copy
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from .views import View

PROJECTION = 64  # dimensions of the space that the losses live in


class Objective(nn.Module):
    """A loss that needs images but no labels, with the network that it trains.

    A subclass sets ``views`` and perhaps ``head``, builds its memory in ``__init__`` and gives the loss in ``forward``.

    Parameters
    ----------
    encoder : torch.nn.Module
        Images (b, 3, height, width) -> features (b, n_features). This is what is kept after training.
    n_features : int
    n_images : int
        Images in the training set: objectives that remember something about each of them keep a memory of this length.
    """

    views: ClassVar[tuple[View, ...]]  # one entry for each view of an image that a step needs

    def __init__(self, encoder: nn.Module, n_features: int, n_images: int):
        super().__init__()
        self.encoder, self.n_images = encoder, n_images
        self.network = nn.Sequential(encoder, self.head(n_features))

    @staticmethod
    def head(n_features: int) -> nn.Module:
        """A projection of the features: what the loss is computed from, and dropped after training."""
        return mlp_head(n_features)

    def forward(self, views: list[Tensor], indices: Tensor) -> Tensor:
        """The loss of one step, to be minimised.

        Parameters
        ----------
        views : list of Tensor of shape (b, 3, height, width)
            The same b images as each entry of ``self.views`` shows them.
        indices : Tensor of shape (b,), int64
            Which images of the training set they are.
        """
        raise NotImplementedError

    def start_epoch(self, epoch: int, images: Tensor, draws: torch.Generator) -> None:
        """What is done before each epoch, counted from 0; ``images`` is the whole training set."""

    def after_step(self, progress: float) -> None:
        """What is done after each step of the optimiser; ``progress`` runs from 0 to 1 over the training."""


def linear_head(n_features: int) -> nn.Module:
    """A projection without a hidden layer."""
    return nn.Linear(n_features, PROJECTION)


def mlp_head(n_features: int, n_hidden_layers: int = 1, normalised: bool = True) -> nn.Module:
    """Hidden layers as wide as the features, then a linear one; ``normalised``: with batch normalisation in between."""
    layers: list[nn.Module] = []
    for _ in range(n_hidden_layers):
        layers.append(nn.Linear(n_features, n_features, bias=not normalised))
        layers += [nn.BatchNorm1d(n_features)] if normalised else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.Linear(n_features, PROJECTION))


def momentum_copy(network: nn.Module) -> nn.Module:
    """A copy that no gradient reaches; it follows its original by `follow`."""
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(follower: nn.Module, leader: nn.Module, momentum: float) -> None:
    """Move the weights of a momentum copy: ``follower <- momentum * follower + (1 - momentum) * leader``."""
    for old, new in zip(follower.parameters(), leader.parameters(), strict=True):
        old.lerp_(new, 1 - momentum)


def unit(x: Tensor) -> Tensor:
    """Rows scaled to Euclidean length 1."""
    return normalize(x, dim=1)


@torch.no_grad()
def projections(network: nn.Module, images: Tensor) -> Tensor:
    """What a network makes of many images, rows of length 1: (n, 3, height, width) -> (n, p)."""
    return torch.cat([unit(network(part)) for part in images.split(256)])
