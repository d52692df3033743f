"""Seven ways to train a classifier: the losses and augmentations of FaCe's homogeneous pool (its Section 4.3).

A loss is a function of a network, a batch and how much of the training is over; it gives the number to be minimised.
Those that mix or hide parts of images are torchvision's and draw from PyTorch's global random state, which
`training.fit` seeds. FaCe names no settings and points to fastai: where fastai has a default we take it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.transforms import v2

from ..extraction import last_layer
from ..store.schema import refuse_unknown

Loss = Callable[[nn.Module, Tensor, Tensor, float], Tensor]

SMOOTHING = 0.1  # share of the truth that is spread over all classes
MIXUP_ALPHA = 0.4  # both parameters of the Beta distribution of a mixture's shares
CUTMIX_ALPHA = 1.0
CUTOUT_SIDE = 0.25  # of the image, as for the many classes of CIFAR-100
CUTOUT_SHARE = 0.5  # of the images that lose their square
MARGIN = 4  # m: the angle to the true class is to be so many times smaller than to any other
ANNEALING = (1000.0, 5.0)  # lambda at the start and at the end of the training


def get(name: str) -> Loss:
    """The loss called ``name``, one of `LOSSES`; any other name raises a ``ValueError``."""
    refuse_unknown("loss", name, LOSSES)
    return LOSSES[name]


def cross_entropy(network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
    r"""Cross-entropy of the softmax, mean over the batch: :math:`-\log p_y`, :math:`p_k = e^{z_k} / \sum_j e^{z_j}`.

    Parameters
    ----------
    network : torch.nn.Module
        Gives logits z of shape (n, K), from a last linear layer that `last_layer.find` finds.
    images : Tensor of shape (n, 3, height, width), float32
    labels : Tensor of shape (n,), int64, 0 to K - 1
    progress : float
        Share of the training that is over, 0 up to 1.

    Returns
    -------
    Tensor of shape ()
        Lower is better, at least 0.
    """
    return functional.cross_entropy(network(images), labels)


def label_smoothing(network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
    r"""Cross-entropy against :math:`(1 - \epsilon)` on the true class and :math:`\epsilon / K` on every class.

    :math:`\epsilon` is `SMOOTHING` (Szegedy et al. 2016, Müller et al. 2019). As `cross_entropy` otherwise.
    """
    return functional.cross_entropy(network(images), labels, label_smoothing=SMOOTHING)


def mixup(network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
    r"""Cross-entropy on mixtures :math:`\lambda x_i + (1 - \lambda) x_j`, labels mixed alike.

    :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, one draw per batch, :math:`\alpha` is `MIXUP_ALPHA`; j is the
    image before i in the batch (Zhang et al. 2018). As `cross_entropy` otherwise.
    """
    mix = v2.MixUp(alpha=MIXUP_ALPHA, num_classes=last_layer.n_outputs(network))
    return cross_entropy(network, *mix(images, labels), progress)


def cutmix(network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
    r"""Cross-entropy on images in which a box shows another image, labels mixed by the shares of the area.

    The box covers :math:`1 - \lambda` of the image, :math:`\lambda \sim \mathrm{Beta}(\alpha, \alpha)`, less what lies
    outside; one draw per batch, :math:`\alpha` is `CUTMIX_ALPHA` (Yun et al. 2019). As `cross_entropy` otherwise.
    """
    mix = v2.CutMix(alpha=CUTMIX_ALPHA, num_classes=last_layer.n_outputs(network))
    return cross_entropy(network, *mix(images, labels), progress)


def cutout(network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
    """Cross-entropy on images of which some lose a square: it becomes 0, which is mid-grey after `training.prepare`.

    Each image loses it with probability `CUTOUT_SHARE`; its side is `CUTOUT_SIDE` of the image's, and it lies wholly
    inside (the second variant of DeVries & Taylor 2017). As `cross_entropy` otherwise.
    """
    erase = v2.RandomErasing(CUTOUT_SHARE, scale=(CUTOUT_SIDE**2,) * 2, ratio=(1, 1), inplace=True)
    images = images.clone()
    for image in images:
        erase(image)
    return cross_entropy(network, images, labels, progress)


def large_margin_softmax(network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
    r"""Cross-entropy in which the true class has to win by an angle (L-Softmax, Liu et al. 2016, Eq. 4-6, Sec. 5.1).

    With features x, the classifier's weights W and the angle :math:`\theta` between x and :math:`W_y`, the true class's
    logit :math:`\|W_y\| \|x\| \cos\theta` becomes

    .. math::
        \|W_y\| \|x\| \frac{\lambda \cos\theta + \psi(\theta)}{1 + \lambda}, \qquad
        \psi(\theta) = (-1)^k \cos(m\theta) - 2k \quad\text{for } \frac{k\pi}{m} \le \theta \le \frac{(k+1)\pi}{m}

    where m is `MARGIN` and :math:`\lambda` falls geometrically from the first to the second value of `ANNEALING`:
    without it nothing is learned, the margin being too hard for random weights. The bias, which Liu et al. leave out,
    is added as ever. The margin is there in training only. As `cross_entropy` otherwise.
    """
    head = last_layer.find(network)
    with last_layer.watch(head) as seen:
        logits = network(images)  # (n, K)
    start, end = ANNEALING
    annealing = start ** (1 - progress) * end**progress
    return functional.cross_entropy(with_margin(logits, seen[0].inputs, head.weight, labels, annealing), labels)


def with_margin(
    logits: Tensor, features: Tensor, weight: Tensor, labels: Tensor, annealing: float, m: int = MARGIN
) -> Tensor:
    r"""Logits whose true class has the margin of `large_margin_softmax`.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
    features : Tensor of shape (n, d)
    weight : Tensor of shape (K, d)
    labels : Tensor of shape (n,), int64
    annealing : float
        :math:`\lambda`, 0 or more; the larger, the smaller the margin.
    m : int
        1 or more; 1 changes nothing.

    Returns
    -------
    Tensor of shape (n, K)
        The true class's logit is lowered by
        :math:`\|W_y\| \|x\| (\cos\theta - \psi(\theta)) / (1 + \lambda) \ge 0`, all others stay.
    """
    true = weight[labels]  # (n, d)
    length = features.norm(dim=1) * true.norm(dim=1)  # (n,)
    cosine = ((features * true).sum(1) / length.clamp_min(1e-12)).clamp(-1, 1)  # (n,)
    k = sum((cosine < torch.cos(torch.tensor(j * torch.pi / m))).long() for j in range(1, m))
    before, multiple = torch.ones_like(cosine), cosine  # cos(0 theta), cos(1 theta), and on by Chebyshev's recurrence
    for _ in range(m - 1):
        before, multiple = multiple, 2 * cosine * multiple - before
    psi = (-1) ** k * multiple - 2 * k  # (n,)
    lowered = length * (cosine - psi) / (1 + annealing)  # (n,)
    return logits - functional.one_hot(labels, logits.shape[1]) * lowered.unsqueeze(1)


def taylor_softmax(network: nn.Module, images: Tensor, labels: Tensor, progress: float) -> Tensor:
    r"""Negative log-likelihood of a softmax whose exponential is its Taylor polynomial of order two.

    .. math:: -\log p_y, \qquad p_k = \frac{1 + z_k + z_k^2 / 2}{\sum_j (1 + z_j + z_j^2 / 2)}

    The polynomial is at least 1/2, so that every :math:`p_k` is positive; an odd order would not do (de Brébisson &
    Vincent 2016, Banerjee et al. 2020). It rises on both sides of -1: a class may be meant by a logit far *below* zero,
    and the largest logit need not be the likeliest class. So `adapt` makes a trained network give the logits whose
    ordinary softmax is p, :math:`\log(1 + z_k + z_k^2 / 2)`. As `cross_entropy` otherwise.
    """
    return functional.cross_entropy(_log_polynomial(network(images)), labels)


def adapt(network: nn.Module, name: str) -> nn.Module:
    """Let a ``network`` that the loss ``name`` has trained give the logits whose softmax it was trained for; return it.

    Only `taylor_softmax` asks for a change.
    """
    if name == "taylor_softmax":
        network.register_forward_hook(lambda module, inputs, logits: _log_polynomial(logits))
    return network


def _log_polynomial(z: Tensor) -> Tensor:
    return (1 + z + z.square() / 2).log()


LOSSES: dict[str, Loss] = {
    loss.__name__: loss
    for loss in (cross_entropy, label_smoothing, mixup, cutmix, cutout, large_margin_softmax, taylor_softmax)
}
