"""What a profile needs from outside, and what it is going to do: lists to read before days of computing begin.

`data` lists every data set and checkpoint: is it there, how large, under which licence, from where. `plan` says what
will run, in what order, how long and how much disk that takes. Nothing is downloaded or computed by either.
"""

import heapq
import os
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from functools import partial

import huggingface_hub
import pandas as pd
import torch
from segmentation_models_pytorch.encoders import encoders

from ..extraction import networks
from ..lab import job_estimates, manual_data, profiles
from ..lab.datasets import cifar, clue, segmentation_folders
from ..lab.datasets import torchvision_datasets as datasets
from ..lab.experiment import Experiment
from ..lab.models import segmentation as segmenters
from ..lab.models import selfsupervised as releases
from ..lab.models import text as readers
from ..lab.tasks import imagenet
from ..store import paths

# What is needed -------------------------------------------------------------------------------------------------------


def data(profile: profiles.Profile) -> pd.DataFrame:
    """Every data set and checkpoint of a profile: (kind, name, what, state, megabytes, licence, source, how).

    ``state`` is ``present``, ``missing`` (it will be downloaded) or ``by hand`` (it is not). Data that is drawn on the
    spot, as in the demo, needs nothing and is not listed. CIFAR counts as present also as image folders.
    """
    rows = []
    for name in manual_data.of(profile):
        entry, (folder, page) = manual_data.ENTRIES[name], _place(name)
        state, size = "present" if is_there(name) else "by hand", 1000 * (entry.gigabytes or 0)
        how = f"get it from {page} and unpack it, so that {folder}/ is there"
        rows.append(("data set", name, entry.title, state, size, entry.licence, page, how))
    rows += [row for pool in profile.pools.values() for row in _of_hub(pool)]
    for name in dict.fromkeys(_data_sets(profile)):
        if name in datasets.ENTRIES:
            entry = datasets.ENTRIES[name]
            there = entry.there or (paths.downloads() / name / "train").is_dir() and name in cifar.ARCHIVES
            state = "present" if there else "missing" if entry.archives else "by hand"
            how = " ".join(archive.url for archive in entry.archives) or entry.by_hand
            rows.append(("data set", name, entry.title, state, entry.megabytes, entry.licence, entry.page, how))
        elif name.startswith(datasets.FOLDER):
            place = paths.downloads() / name.removeprefix(datasets.FOLDER)
            how = f"put {place}/train/CLASS/*.jpg and {place}/test/CLASS/*.jpg there"
            rows.append(("data set", name, "your images", _state(place.exists()), 0, "yours", str(place), how))
    for pool in (pool for pool in profile.pools.values() if pool.task == "imagenet"):
        released = pool.pretrain["weights"] == imagenet.AUTHORS
        for name in pool.losses if released else ():
            release, file = releases.RELEASES[imagenet.RELEASED[name]], releases.place(imagenet.RELEASED[name])
            state = "present" if file.exists() else "by hand" if release.converter else "missing"
            what, how = f"ResNet-50 of {release.paper}, without labels", releases.remedy(imagenet.RELEASED[name])
            rows.append(("checkpoint", name, what, state, 0, release.licence, release.url, how))
        for name in () if released else pool.architectures:
            found = networks.checkpoint(name, pool.pretrain["weights"], pool.pretrain["transform"])
            what = f"{found.weights}, top-1 {found.accuracy:.1f} %"
            how = found.url or f"put its state dict at {found.file}"
            size = 0 if pd.isna(found.megabytes) else found.megabytes
            rows.append(("checkpoint", name, what, _state(found.present), size, found.licence, found.url, how))
    columns = ["kind", "name", "what", "state", "megabytes", "licence", "source", "how"]
    return pd.DataFrame(rows, columns=columns).drop_duplicates(["kind", "name"], ignore_index=True)


def _of_hub(pool: profiles.Pool) -> Iterator[tuple]:
    """The checkpoints that segmentation and text models start from, in the cache of Hugging Face."""
    for name in pool.architectures:
        if pool.task == "segmentation" and segmenters.ARCHITECTURES[name]["encoder_weights"]:
            encoder, weights = (segmenters.ARCHITECTURES[name][key] for key in ("encoder_name", "encoder_weights"))
            repository, revision = encoders[encoder]["pretrained_settings"][weights].values()
            what = f"{encoder} of torchvision, trained on ImageNet"
            licence, size = "BSD-3-Clause; trained on ImageNet: research", 102
        elif pool.task == "text" and readers.ARCHITECTURES[name].checkpoint:
            repository, revision = readers.ARCHITECTURES[name].checkpoint, None
            licence, size = "see its page", job_estimates.counted_size(name)[1]
            what = "Chinese encoder, trained to fill in masked words"
        else:
            continue
        find = partial(huggingface_hub.try_to_load_from_cache, repository, revision=revision)
        files = (find(file) for file in ("model.safetensors", "pytorch_model.bin"))
        state, page = _state(any(isinstance(file, str) for file in files)), f"https://huggingface.co/{repository}"
        yield "checkpoint", repository, what, state, size, licence, page, f"{page} (into Hugging Face's cache: HF_HOME)"


def _place(name: str) -> tuple[str, str]:
    """The folder that a data set of `manual_data` is read from, below that of all data, and the page to get it from."""
    if name in clue.FOLDERS:
        return clue.FOLDERS[name], clue.URL
    layout = segmentation_folders.LAYOUTS[name]
    return layout.folder, layout.url


def is_there(name: str) -> bool:
    """Whether the folder of a data set of `manual_data` is in its place; its reader finds what is missing in it."""
    return (paths.downloads() / _place(name)[0]).exists()


def _data_sets(profile: profiles.Profile) -> Iterator[str]:
    """What the pools name; of parts of CIFAR, the archive that they are taken from."""
    for pool in profile.pools.values():
        for name in (*pool.sources, *pool.targets):
            if pool.task == "imagenet":
                yield name
            elif name in cifar.NAMES:
                yield cifar.SETS[name][0]


def as_text(table: pd.DataFrame) -> str:
    """The table of `data` to be read in a terminal."""
    if table.empty:
        return "The data of this profile are drawn here or lie in this folder: nothing is downloaded."
    lines = [f"Everything lies in {paths.downloads()} (NCREPRO_DATA says otherwise); nothing was downloaded now."]
    for kind, group in table.groupby("kind", sort=False):
        lines += ["", f"{kind}s", ""]
        for row in group.itertuples():
            size = f"{row.megabytes / 1000:.2f} GB" if row.megabytes else ""
            lines.append(f"  {row.state:8} {row.name:20} {size:>9}  {row.what}; licence: {row.licence}")
            if row.state != "present":
                lines += _wrapped(row.how, " " * 11, " " * 11)
    by_state = table.groupby("state")["megabytes"].sum() / 1000
    lines += ["", "In all: " + ", ".join(f"{state} {size:.1f} GB" for state, size in by_state.items()) + "."]
    return "\n".join(lines)


def _wrapped(text: str, first: str = "", others: str = "") -> list[str]:
    """Lines of at most 110 characters; addresses and paths stay whole."""
    indents = {"initial_indent": first, "subsequent_indent": others}
    return textwrap.wrap(text, 110, **indents, break_on_hyphens=False, break_long_words=False)


def _state(present: bool) -> str:
    return "present" if present else "missing"


GPUS = (1, 4, 16, 64)  # of a cluster

# What will run --------------------------------------------------------------------------------------------------------


def jobs_of_pool(study: Experiment) -> pd.DataFrame:
    """A pool's jobs: (step, model, data, done, images, hours, gigabytes), the last three estimated where possible.

    ``images`` counts every time one goes through the network; ``hours`` are those of a machine with one GPU and 16
    cores; ``gigabytes`` is what the job leaves on disk.
    """
    rows = []
    for step, jobs in study.jobs().items():
        for model, data_set, job in jobs:
            images, hours, gigabytes = job_estimates.of(study.pool, step, model, data_set)
            rows.append((step, model.name, data_set, job.path.exists(), images, hours, gigabytes))
    return pd.DataFrame(rows, columns=["step", "model", "data", "done", "images", "hours", "gigabytes"])


def schedule(table: pd.DataFrame, gpus: Sequence[int]) -> pd.DataFrame:
    """How long `jobs_of_pool` take on each number of GPUs: pools and steps one after another, longest job first.

    Returns
    -------
    DataFrame (gpus, hours, gpu_hours, efficiency, limit)
        ``efficiency``: the share of the GPU hours held in which a job runs; ``limit``: the step that wastes most.
    """
    rows = []
    for n in gpus:
        wasted, hours = {}, 0.0
        for (pool, step), jobs in table.groupby(["pool", "step"], sort=False):
            ends = [0.0] * n  # of each GPU, a heap
            for spent in sorted(jobs["hours"], reverse=True):
                heapq.heapreplace(ends, ends[0] + spent)
            hours += max(ends)
            wasted[f"{pool}: {step}"] = n * max(ends) - jobs["hours"].sum()
        worst = max(wasted, key=wasted.get, default="")
        limit = f"most is lost in {worst}" if wasted.get(worst, 0) > 0.01 * n * hours else "nothing is lost"
        total = table["hours"].sum()
        rows.append((n, hours, n * hours, total / (n * hours) if hours else 1.0, limit))
    return pd.DataFrame(rows, columns=["gpus", "hours", "gpu_hours", "efficiency", "limit"])


def plan(profile: profiles.Profile) -> str:
    """What `make all` will do in this profile, as a protocol to be read and signed before it starts."""
    return "\n".join(_plan(profile))


_STEPS = {
    "pretrain": ("10_train_pool", "load and check {n} networks", "pre-train {n} networks"),
    "finetune": (
        "10_train_pool",
        "find the ground truth of {n} cells (model x target x seed), {trained} by fine-tuning",
        "fine-tune {n} times",
    ),
    "extract": ("11_extract_features", "extract {n} feature matrices (model x target)", "extract {n} feature matrices"),
    "score": ("the pool's own notebook", "score {n} feature matrices by every metric", "score {n} feature matrices"),
}


def _plan(profile: profiles.Profile) -> Iterator[str]:
    needed = data(profile)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    yield f"Plan for profile {profile.name!r}; this machine has {os.cpu_count()} CPU cores and {device}"
    yield profile.description
    yield ""
    yield "1. Get what is needed (make data lists each with its licence)"
    for kind, group in needed.groupby("kind", sort=False):
        states = group.groupby("state")["megabytes"]
        summary = ", ".join(f"{len(sizes)} {state} ({sizes.sum() / 1000:.1f} GB)" for state, sizes in states)
        yield f"   {len(group)} {kind}s: {summary}"
    if needed.empty:
        yield "   nothing: the data are here, or drawn on the spot"
    for row in needed[needed["state"] == "by hand"].itertuples():
        without = "nothing starts without it" if row.name in manual_data.ENTRIES else "it is left out"
        sentence = f"{row.name} is not downloaded for you, and {without}; to have it, {row.how}"
        yield from _wrapped(sentence, "   ! ", "     ")
    totals = []
    for number, pool in enumerate(profile.pools.values(), start=2):
        study = Experiment(pool.name, profile.name)
        table = jobs_of_pool(study)
        totals.append(table.assign(pool=pool.name))
        yield ""
        yield f"{number}. Pool {pool.name}: {len(study.pool.models)} models, {len(study.pool.targets)} targets"
        yield from _about(study)
        for letter, (step, group) in zip("abcd", table.groupby("step", sort=False), strict=True):
            yield _line(letter, step, group, pool.task)
    table = pd.concat(totals)
    left = table[~table["done"]]
    download = needed.loc[needed["state"] == "missing", "megabytes"].sum() / 1000
    yield ""
    yield f"{len(profile.pools) + 2}. Draw every figure (90_figures): minutes"
    yield ""
    free = shutil.disk_usage(paths.root()).free / 1e9
    yield (f"In all: {len(left):,} of {len(table):,} jobs to do; {download:.1f} GB to download, "
           f"{download + left['gigabytes'].sum():.0f} GB more on disk, {free:.0f} GB are free.")  # fmt: skip
    if not table["hours"].any():  # small networks on small images are not estimated but measured
        yield "How long it takes is in the README."
        return
    yield from _wrapped(
        f"About {_duration(left['hours'].sum())} on one GPU and {job_estimates.CORES} cores. An estimate, good to a "
        f"factor of two or three, from {job_estimates.GIGAFLOPS_PER_S:,.0f} billion multiply-adds per second on the "
        f"GPU, training at {job_estimates.TRAINING} forward passes, {job_estimates.DECODED_PER_S} photographs decoded "
        f"and {job_estimates.SCORED_PER_S} images scored per core and second. An archive needs its size once more "
        "while it is unpacked. A run may be stopped at any time and goes on where it stopped."
    )
    yield "On a cluster (NCREPRO_CLUSTER), each GPU in a machine like that one:"
    for row in schedule(left, GPUS).itertuples():
        yield (
            f"   {row.gpus:3d} GPUs: {_duration(row.hours):>10}, {row.gpu_hours:6.0f} GPU hours held, "
            f"{row.efficiency:4.0%} of them at work; {row.limit}"
        )
    if not torch.cuda.is_available():
        yield "This machine has no GPU: to try it here, set max_per_class, use fewer models and fewer targets."


def _settings(recipe: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in recipe.items())


def _about(study: Experiment) -> Iterator[str]:
    pool = study.pool
    if pool.task != "imagenet":
        pretrained = "the weights stay as they are" if study.is_untrained else _settings(pool.pretrain)
        steps = {("pre-trained", pretrained): list(pool.sources)}
        for target in pool.targets:
            recipe = _settings(pool.finetune_on(target) | {"seeds": len(pool.seeds_of(target))})
            steps.setdefault(("fine-tuned", recipe), []).append(target)
        for (step, recipe), names in steps.items():
            yield from _wrapped(f"{step} on {', '.join(names)}: {recipe}", "   ", "   ")
        return
    trained = [t for t in pool.targets if pool.finetune_on(t)["ground_truth"] == "finetune"]
    recipe = pool.finetune
    weights, transform = pool.pretrain["weights"], pool.pretrain["transform"]
    sample = f"sample set {pool.extract['split']!r}, {pool.extract['precision']}"
    yield f"   weights {weights}, transform {transform!r}, {sample}"
    entries = {t: datasets.ENTRIES[t] for t in pool.targets if t in datasets.ENTRIES}
    counts = [f"{t} {job_estimates.n_scored_on(pool, t):,} + {entry.n_test:,}" for t, entry in entries.items()]
    yield from _wrapped("images to score on + to judge by: " + ", ".join(counts), "   ", "   ")
    for name, subset in pool.subsets.items():
        targets = subset.targets or pool.targets
        truth = "published accuracies" if subset.truth == "published" else "accuracies fine-tuned here"
        yield f"   {name}: {len(pool.subset(name))} models x {len(targets)} targets, judged by {truth}"
    if trained:
        rate, size, seeds = recipe["learning_rate"], recipe["batch_size"], len(pool.seeds_of(trained[0]))
        yield (
            f"   fine-tuned here: {', '.join(trained)} ({recipe['epochs']} epochs, SGD {rate}, batch {size}, "
            f"{seeds} seeds)"
        )


def _line(letter: str, step: str, jobs: pd.DataFrame, task: str) -> str:
    notebook, template, template_small = _STEPS[step]
    left = jobs[~jobs["done"]]
    trained = (jobs["images"] > 0).sum()
    what = (template if task == "imagenet" else template_small).format(n=len(jobs), trained=trained)
    if step == "pretrain" and trained and task == "imagenet":
        what += f", train {trained} of them on their source"
    cost = f", about {_duration(left['hours'].sum())}" if left["hours"].sum() else ""
    kind = {"text": "texts", "time_series": "time series", "modalities": "items"}.get(task, "images")
    passes = f", {left['images'].sum() / 1e6:.1f} million {kind} through a network" if left["images"].sum() else ""
    disk = f", {left['gigabytes'].sum():.1f} GB" if left["gigabytes"].sum() else ""
    return f"   {letter}. {notebook}: {what}; {len(jobs) - len(left)} done{passes}{cost}{disk}"


def _duration(hours: float) -> str:
    return (
        f"{hours * 60:.0f} minutes" if hours < 2 else f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"
    )
