"""Which values are allowed where: the annotations of a dataclass say it once, for files that are read and for Python.

The second part of ``Annotated[type, check]`` is a function ``check(where, given)``: it returns the value to keep, or
raises a ValueError that names the place, the value and what is allowed. Needs only Python, because make uses it very
early.
"""

import difflib
import numbers
import re
import reprlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import MISSING, fields
from typing import Annotated, Any, NoReturn, get_type_hints

Check = Callable[[str, Any], Any]


class _Short(reprlib.Repr):
    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if abs(value) < 10**40 else "a number of more than 40 digits"  # the longest have no `repr`


_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 60
_SHORT.maxlevel = 2
_LARGEST = 1e15  # what is larger is a slip, infinite, or of no use as a float


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a mistyped name."""
    hint = suggestion(name, known, n=1) if isinstance(name, str) else ""  # another value may be too large to be printed
    return f"unknown {kind} {_SHORT.repr(name)}: choose one of {', '.join(sorted(known))}{hint and '; ' + hint}"


def refuse_unknown(kind: str, name: str, known: Collection[str], where: str = "") -> None:
    """Raise that sentence, after ``where``, if a name is none of ``known``."""
    if name not in known:
        raise ValueError(f"{where and where + ': '}{unknown(kind, name, known)}")


def suggestion(name: str, known: Iterable[str], n: int = 3) -> str:
    """A question that offers the most similar of the known names; "" if none is similar."""
    spelt = {choice.lower(): choice for choice in known}
    found = difflib.get_close_matches(str(name).lower(), spelt, n)
    return f"did you mean {' or '.join(repr(spelt[choice]) for choice in found)}?" if found else ""


def refuse(where: str, given: Any, allowed: str) -> NoReturn:
    """Raise the one sentence that names the place, the value and what is allowed."""
    raise ValueError(f"{where} is {'empty' if given is None else _SHORT.repr(given)}; allowed is {allowed}")


def repetition_of(name: str) -> tuple[str, int]:
    """The profile that is repeated, and the number of the repetition: ``("demo", 2)`` for ``demo+2``."""
    profile, plus, number = name.partition("+")
    if plus and not re.fullmatch("[1-9][0-9]{0,5}", number):
        raise ValueError(f"unknown repetition {name!r}: those of {profile!r} are {profile}+1, {profile}+2, ...")
    return profile, int(number or 0)


# Checks ---------------------------------------------------------------------------------------------------------------


def number(allowed: str, holds: Callable[[Any], bool], kind: type = numbers.Real) -> Check:
    """A number of which ``holds`` is true, in words ``allowed``."""

    def check(where: str, given: Any) -> Any:
        if isinstance(given, str):
            refuse(where, given, f"{allowed} (this is text: write digits, without quotes)")
        if isinstance(given, bool) or not isinstance(given, kind) or not holds(given):
            refuse(where, given, allowed)
        return given

    return check


def whole_number(low: int, high: int) -> Check:
    """A whole number in a range."""
    return number(f"a whole number from {low} to {high:,}", lambda value: low <= value <= high, numbers.Integral)


def optional(check: Check) -> Check:
    """Nothing, or what the check takes."""
    return lambda where, given: None if given is None else check(where, given)


def one_or_more(check: Check) -> Check:
    """A value, or a list of some."""

    def check_all(where: str, given: Any) -> Any:
        if not isinstance(given, (list, tuple)):
            return check(where, given)
        if not given:
            refuse(where, given, "one value or more")
        return [check(f"{where}[{i}]", value) for i, value in enumerate(given)]

    return check_all


def text(where: str, given: Any) -> str:
    """Text that is not blank."""
    if not isinstance(given, str) or not given.strip():
        refuse(where, given, "text (in quotes, where YAML takes it for something else)")
    return given


def one_of(*known: str) -> Check:
    """One of these names."""

    def check(where: str, given: Any) -> str:
        refuse_unknown(where.rpartition(".")[2], given, known, where)
        return given

    return check


def names(where: str, given: Any) -> tuple[str, ...]:
    """One name or more, each once."""
    if not isinstance(given, (list, tuple)) or not given:
        refuse(where, given, "a list of one name or more")
    for i, name in enumerate(given):
        text(f"{where}[{i}]", name)
        if name in given[:i]:
            raise ValueError(f"{where} names {name!r} twice; name it once")
    return tuple(given)


def mapping(check: Check = lambda _, given: given, check_name: Check = text) -> Check:
    """Names, and what ``check`` makes of the value of each."""

    def check_all(where: str, given: Any) -> dict:
        if not isinstance(given, dict):
            refuse(where, given, "a mapping, NAME: VALUE")
        return {check_name(f"a key of {where}", name): check(f"{where}.{name}", value) for name, value in given.items()}

    return check_all


Count = Annotated[int, whole_number(1, 1_000_000)]
Positive = Annotated[float, number("a number more than 0, and no more than 1e15", lambda value: 0 < value <= _LARGEST)]
NotNegative = Annotated[float, number("a number from 0 to 1e15", lambda value: 0 <= value <= _LARGEST)]
Share = Annotated[float, number("a number from 0 up to (not including) 1", lambda value: 0 <= value < 1)]
Text = Annotated[str, text]
Names = Annotated[tuple[str, ...], names]


# Dataclasses ----------------------------------------------------------------------------------------------------------


def read(kind: type, where: str, given: Any, **fixed) -> Any:
    """An instance of the dataclass ``kind``: what stands at ``where`` in a file, and what is ``fixed`` beside that.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or a value is not what its annotation allows.
    """
    if not isinstance(given, dict):
        refuse(where or "the file", given, "a mapping, KEY: VALUE")
    known = {field.name: field for field in fields(kind) if field.name not in fixed}
    prefix = f"{where}: " if where else ""
    for key in given:
        if not known:
            raise ValueError(f"{prefix}the key {key!r} means nothing here; leave it out")
        refuse_unknown("key", key, known, where)
    checks = _checks(kind)
    values = {key: checks[key](f"{where}.{key}" if where else key, value) for key, value in given.items()}
    needed = [name for name, field in known.items() if field.default is MISSING and field.default_factory is MISSING]
    for name in needed:
        if name not in given:
            raise ValueError(f"{prefix}the key {name!r} is missing; needed are {', '.join(needed)}")
    return kind(**values, **fixed)


def check(instance: Any, where: str) -> None:
    """Check the fields of a dataclass that was made in Python."""
    for name, of in _checks(type(instance)).items():
        of(f"{where}.{name}", getattr(instance, name))


def _checks(kind: type) -> dict[str, Check]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}
