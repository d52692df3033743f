"""What is known of the papers' data sets that are not downloaded, since most ask you to register or agree to terms.

They are read in `datasets.segmentation_folders` and `datasets.clue`; this needs no torch, so `make` can look first.
"""

from typing import NamedTuple

from .profiles import Profile


class Entry(NamedTuple):
    """Facts that are cited of a data set; its images or texts were never counted here."""

    title: str
    n_train: int  # images or texts to train on, at most
    n_test: int
    licence: str
    gigabytes: float | None = None  # of the download; None where no size is stated


ENTRIES = {
    "ade20k": Entry("ADE20K, scene parsing benchmark", 20_210, 2_000, "non-commercial research", 0.9),
    "voc2012": Entry("PASCAL VOC 2012", 1_464, 1_449, "Flickr's terms of use", 2.0),
    "voc_aug": Entry("Semantic Boundaries Dataset", 8_498, 2_857, "see its page; images of Flickr", 1.4),
    "sbu_shadow": Entry("SBU shadow", 4_089, 638, "see its page"),
    "coco": Entry("COCO 2017", 118_287, 5_000, "annotations CC BY 4.0; images: Flickr's terms of use", 20.4),
    "lip": Entry("Look Into Person", 30_462, 10_000, "non-commercial research"),
    "kitti": Entry("KITTI, semantic segmentation", 160, 40, "CC BY-NC-SA 3.0", 0.3),
    "camvid": Entry("CamVid", 530, 171, "see its page"),
    "cityscapes": Entry("Cityscapes, fine annotations", 2_975, 500, "non-commercial research", 11.8),
    "iflytek": Entry("IFLYTEK of CLUE", 12_133, 2_599, "see its page"),
    "tnews": Entry("TNEWS of CLUE", 53_360, 10_000, "see its page"),
}


def of(profile: Profile) -> list[str]:
    """The data sets of a profile that have to be put in place by hand, each once."""
    named = (name for pool in profile.pools.values() for name in (*pool.sources, *pool.targets))
    return [name for name in dict.fromkeys(named) if name in ENTRIES]
