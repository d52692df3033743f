"""What can be given to make as ``NAME=value``, and what was given. ``python -m ncrepro.commands.variables`` checks it.

Make passes what was typed on to its children in ``MAKEFLAGS``, each value as it was typed. It needs nothing but Python,
because make runs it before there is an environment.
"""

import os
import re
import sys

from ..store import paths
from ..store.schema import refuse_unknown, repetition_of

# The parameters of 41_rank that can be given to `make rank`, in capitals, and to `ncrepro rank`.
OF_RANK = ("images", "text", "features", "models", "metrics", "text_column", "label_column", "on_error",
           "max_per_class", "batch_size", "n_bootstrap")  # fmt: skip
KNOWN = (
    *("PROFILE", "PYTHON", "BASE_PYTHON", "REPETITIONS", "FAULTS", "SEED", "REFRESH", "LAB_OPTIONS"),
    *(*paths.CHOSEN, "NCREPRO_LOADERS", "NCREPRO_ARITHMETIC", "NCREPRO_CLUSTER"),
    *(name.upper() for name in (*OF_RANK, "out")),
)


def typed_values() -> dict[str, str]:
    """Variable -> value, as typed on make's command line; nothing outside make.

    ``MAKEFLAGS`` holds options, ``--``, and the variables: a blank or backslash in a value has a backslash before it,
    and each $ is doubled.

    Raises
    ------
    ValueError
        If make does not say what was typed.
    """
    words = re.findall(r"(?:\\.|[^\\ \t])+", os.environ.get("MAKEFLAGS", ""), re.DOTALL)
    typed = words[words.index("--") + 1 :] if "--" in words else []
    if "$(MAKEOVERRIDES)" in typed:
        raise ValueError("make -e hides what was typed as NAME=value; leave out the -e")
    plain = (re.sub(r"\\(.)", r"\1", word, flags=re.DOTALL).replace("$$", "$") for word in typed)
    return {name: value for name, _, value in (word.partition("=") for word in plain)}


def of_rank() -> list[str]:
    """The options of ``ncrepro rank`` that were given to make as variables."""
    return [f"--{name.lower()}={value}" for name, value in typed_values().items() if name.lower() in (*OF_RANK, "out")]


def check() -> None:
    """Refuse a variable that make does not know, and a profile that is not there.

    Raises
    ------
    ValueError
        If a name is mistyped, or hidden.
    FileNotFoundError
        If there are no profiles.
    """
    for name in typed_values():
        refuse_unknown("variable", name, KNOWN)
    profile, _ = repetition_of(os.environ.get("NCREPRO_PROFILE", "demo"))
    refuse_unknown("PROFILE", profile, paths.profile_names())


if __name__ == "__main__":
    try:
        check()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
