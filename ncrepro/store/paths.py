"""Every place on disk, decided here and nowhere else."""

import os
import re
from pathlib import Path

CHOSEN = ("NCREPRO_ROOT", "NCREPRO_DATA", "NCREPRO_CACHE")  # the environment variables that name a folder
CHECKOUT = Path(__file__).resolve().parents[2]


def make_absolute() -> None:
    """Make the folders that were chosen absolute: a notebook runs in a folder of its own."""
    for name in CHOSEN:
        if os.environ.get(name):
            os.environ[name] = os.path.abspath(os.path.expanduser(os.environ[name]))


def root() -> Path:
    """The compendium's folder: ``NCREPRO_ROOT`` if set, else the checkout that this package lies in."""
    return Path(os.environ.get("NCREPRO_ROOT") or CHECKOUT)


def is_checkout() -> bool:
    """Whether there is a compendium around this package, with notebooks and profiles; an installed one has none."""
    return bool(os.environ.get("NCREPRO_ROOT")) or profiles().is_dir()


def notebooks() -> Path:
    """The notebooks."""
    return root() / "notebooks"


def profiles() -> Path:
    """The YAML files that say what a profile runs."""
    return notebooks() / "profiles"


def profile_names() -> list[str]:
    """Every profile that has a file; for make, names are letters, digits, - and _ alone.

    Raises
    ------
    FileNotFoundError
        If none has.
    """
    found = sorted(path.stem for path in profiles().glob("*.yaml") if re.fullmatch(r"\w[\w-]*", path.stem, re.ASCII))
    if not found:
        remedy = "`git checkout notebooks/profiles` brings them back"
        if chosen := os.environ.get("NCREPRO_ROOT"):
            remedy = f"NCREPRO_ROOT is {chosen!r}; name the folder of the compendium, or unset it"
        raise FileNotFoundError(f"there is no profile in {profiles()}: {remedy}")
    return found


def build(profile: str) -> Path:
    """Executed notebooks, and what is known of each run."""
    return root() / "build" / profile


def published() -> Path:
    """What the papers print."""
    return root() / "data" / "published"


def cache(profile: str) -> Path:
    """Models and features of one profile: large, remade at need, never committed."""
    return caches() / profile


def datasets() -> Path:
    """Generated data sets, shared by all profiles."""
    return caches() / "datasets"


def photographs() -> Path:
    """What is known of the photographs: how many, where from, which were left out. Committed."""
    return root() / "data" / "photographs"


def time_series() -> Path:
    """Time series of public archives. Committed; those of this checkout, wherever results go."""
    return CHECKOUT / "data" / "time_series"


def downloads() -> Path:
    """Data sets and checkpoints that others published, for all profiles: ``NCREPRO_DATA`` if set."""
    chosen = os.environ.get("NCREPRO_DATA")
    return Path(chosen).expanduser() if chosen else caches() / "downloads"


def caches() -> Path:
    """``NCREPRO_CACHE`` if set, as a checkout may be read-only, or its disk small; else ``data/cache`` of the checkout.

    A package that was installed elsewhere keeps its files in the system's folder for caches, not beside its code.
    """
    if chosen := os.environ.get("NCREPRO_CACHE"):
        return Path(chosen).expanduser()
    if is_checkout():
        return root() / "data" / "cache"
    from platformdirs import user_cache_path  # here: make asks for places before there is an environment

    return user_cache_path("ncrepro", appauthor=False)


def results(profile: str, pool: str = "") -> Path:
    """The tidy tables that the notebooks write."""
    return root() / "data" / "results" / profile / pool


def reference(profile: str, pool: str = "") -> Path:
    """The committed tables that a fresh run is compared with, laid out like `results`."""
    return root() / "data" / "reference" / profile / pool


def noise(profile: str) -> Path:
    """How far the tables of repetitions with other seeds move. Committed."""
    return root() / "data" / "reference" / "noise" / profile


def sample(profile: str, pool: str = "") -> Path:
    """Features of a few models, for notebooks that are read before anything has run. Committed."""
    return root() / "data" / "sample" / profile / pool


def figures(profile: str) -> Path:
    """The figures of one profile."""
    return root() / "figures" / profile


def relative(path: Path) -> str:
    """``path`` as a reader should see it: below the compendium's folder if it lies there, with forward slashes."""
    path, above = Path(path).resolve(), root().resolve()
    return (path.relative_to(above) if path.is_relative_to(above) else path).as_posix()
