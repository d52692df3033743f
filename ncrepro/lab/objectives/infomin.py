"""InfoMin: the same contrast as MoCo v2, of views that share as little as possible besides what matters."""

from .moco import MoCoV2
from .views import View

INFOMIN = View(area=0.4, degrees=25, colour=0.9, grey=0.5, blur=0.5)


class InfoMin(MoCoV2):
    r"""MoCo v2 on views that have less in common.

    .. math:: \min_{v_1, v_2} I(v_1; v_2) \quad \text{subject to} \quad I(v_1; y) = I(v_2; y) = I(x; y)

    The better views share the label and nothing else, so what the method changes is the augmentation: smaller crops,
    larger rotations, stronger colours. The loss is InfoNCE, a lower bound of I(v1; v2). Tian et al., *What Makes for
    Good Views for Contrastive Learning?*, NeurIPS 2020, Section 3 (the InfoMin principle) and the InfoMin augmentation.
    """

    views = (INFOMIN, INFOMIN)
    temperature = 0.15
