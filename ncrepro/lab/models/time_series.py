"""Five small networks for time series, each of a kind that is standard in that field.

============= ===================================================================================================
fcn           three convolutions (Wang, Yan & Oates, 2017, arXiv:1611.06455)
resnet1d      two residual blocks of three convolutions (the same; theirs has three)
inception     convolutions of several lengths side by side (Ismail Fawaz et al., 2020, arXiv:1909.04939)
transformer   attention among the points of a series (Zerveas et al., 2021, arXiv:2010.02803)
gru           a gated recurrent unit (Cho et al., 2014, arXiv:1406.1078)
============= ===================================================================================================

All read one channel, and end in the mean over the points of a series. A series of several channels goes through the
network channel by channel, and its features are those of its channels, one after the other. All points after the end of
a series are masked everywhere: they change neither features nor the statistics of a normalisation.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...extraction import last_layer
from ...store import pinned_arithmetic
from ...store.schema import refuse_unknown

pinned_arithmetic.make_torch_deterministic()

WIDTH = 32  # features of a channel


class Classifier(nn.Module):
    """An encoder of one channel, its mean over the points of a series, and a linear classifier."""

    def __init__(self, encoder: nn.Module, n_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classifier = nn.Linear(WIDTH, n_classes)

    def channels(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Series (n, channels, length) that end after ``lengths`` (n,) points -> features (n, channels, d)."""
        n, n_channels, longest = values.shape
        known = torch.arange(longest, device=values.device) < lengths.repeat_interleave(n_channels)[:, None]
        hidden = self.encoder(values.reshape(-1, longest, 1), known)  # (n x channels, length, d)
        mean = (hidden * known[..., None]).sum(1) / known.sum(1, keepdim=True)  # (n x channels, d)
        return mean.view(n, n_channels, -1)

    def features(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Features (n, channels x d)."""
        return self.channels(values, lengths).flatten(1)

    def forward(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Logits (n, K)."""
        return self.classifier(self.features(values, lengths))


class Convolution(nn.Module):
    """A convolution along the points, its normalisation, and ReLU unless the sum of a block comes first."""

    def __init__(self, n_in: int, size: int, is_last: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(n_in, WIDTH, size, padding=size // 2, bias=False)
        self.normalisation = Normalisation(WIDTH)
        self.is_last = is_last

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, n_in) -> (n, length, d)."""
        x = self.convolution((x * known[..., None]).transpose(1, 2)).transpose(1, 2)
        x = self.normalisation(x, known)
        return x if self.is_last else x.relu()


class Normalisation(nn.BatchNorm1d):
    """Batch normalisation over the points that were measured; all others become 0."""

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, d) -> the same."""
        return torch.zeros_like(x).masked_scatter(known[..., None], super().forward(x[known]))


class Layers(nn.Sequential):
    """Layers one after the other, each of which is told which points were measured."""

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, n_in) -> (n, length, d)."""
        for layer in self:
            x = layer(x, known)
        return x


class Residual(nn.Module):
    """Layers, and a shortcut around them."""

    def __init__(self, n_in: int, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = Layers(*layers)
        self.shortcut = Convolution(n_in, 1, is_last=True)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, n_in) -> (n, length, d)."""
        return (self.layers(x, known) + self.shortcut(x, known)).relu()


class Inception(nn.Module):
    """Convolutions of three lengths and a maximum side by side, each a quarter of the features."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        part = WIDTH // 4
        self.bottleneck = nn.Linear(n_in, part, bias=False)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(part, part, size, padding=size // 2, bias=False) for size in (5, 11, 23)
        )
        self.of_maximum = nn.Linear(n_in, part, bias=False)
        self.normalisation = Normalisation(WIDTH)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, n_in) -> (n, length, d)."""
        x = x * known[..., None]
        narrow = self.bottleneck(x).transpose(1, 2)  # (n, d / 4, length)
        maximum = nn.functional.max_pool1d(x.masked_fill(~known[..., None], -1e9).transpose(1, 2), 3, 1, 1)
        parts = [convolution(narrow).transpose(1, 2) for convolution in self.convolutions]
        x = torch.cat([*parts, self.of_maximum(maximum.transpose(1, 2) * known[..., None])], -1)
        return self.normalisation(x, known).relu()


class Attention(nn.Module):
    """A layer of a transformer, normalised first."""

    n_heads = 4

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query_key_value, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.dense = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, d) -> the same."""
        parts = self.query_key_value(self.first(x)).unflatten(-1, (3, self.n_heads, -1))  # (n, length, 3, heads, d')
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # (n, heads, length, d') each
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (n, heads, length, length)
        weights = scores.masked_fill(~known[:, None, None], -1e9).softmax(-1)
        x = x + self.out((weights @ v).transpose(1, 2).flatten(2))
        return x + self.dense(self.second(x))


class Transformer(nn.Module):
    """Two layers of attention among points that know their neighbours and their positions."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = Convolution(1, 7)
        self.layers = Layers(Attention(), Attention())

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, 1) -> (n, length, d)."""
        return self.layers(self.embedding(x, known) + _positions(x.shape[1]).to(x.device), known)


def _positions(length: int) -> Tensor:
    """Sinusoids, (length, d), as in Vaswani et al., 2017."""
    angle = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, WIDTH, 2) / WIDTH)  # (length, d / 2)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)


class Recurrent(nn.Module):
    """A gated recurrent unit: each point knows those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = Convolution(1, 7)
        self.unit = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """(n, length, 1) -> (n, length, d)."""
        return self.unit(self.embedding(x, known))[0]


def _convolutions(n_in: int, is_last: bool = False) -> tuple[Convolution, ...]:
    """Three convolutions, each shorter than the one before."""
    return Convolution(n_in, 7), Convolution(WIDTH, 5), Convolution(WIDTH, 3, is_last)


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "fcn": lambda: Layers(*_convolutions(1)),
    "resnet1d": lambda: Layers(*(Residual(n_in, *_convolutions(n_in, is_last=True)) for n_in in (1, WIDTH))),
    "inception": lambda: Residual(1, Inception(1), Inception(WIDTH), Inception(WIDTH)),  # the authors' is twice as deep
    "transformer": Transformer,
    "gru": Recurrent,
}


def build(name: str, n_classes: int, seed: int) -> Classifier:
    """One of the five, with seeded random weights; the global random state is left as it was.

    Raises
    ------
    ValueError
        If there is no such architecture, or ``n_classes`` is under 2.
    """
    refuse_unknown("model", name, ARCHITECTURES)
    with last_layer.seeded_weights(n_classes, seed):
        return Classifier(ARCHITECTURES[name](), n_classes)


def replace_classifier(network: Classifier, n_channels: int, n_classes: int, seed: int) -> None:
    """Put in a new classifier, for the features of so many channels, with seeded random weights."""
    with last_layer.seeded_weights(n_classes, seed):
        network.classifier = nn.Linear(n_channels * WIDTH, n_classes).to(network.classifier.weight.device)
