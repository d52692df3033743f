"""YAML as its writer means it: version 1.2, and no key twice.

PyYAML follows version 1.1, where ``no`` is False, ``010`` is 8, ``1:30`` is 90, and ``1e-3`` is text.
"""

import re
from collections import Counter
from functools import cache
from typing import Any

import yaml

# The core schema of YAML 1.2 without hexadecimal and octal numbers; all else is text. Merge keys (<<) are of 1.1.
_MEANT = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "merge": r"<<",
}


_LONGEST = 100_000  # characters; PyYAML reads some ten thousand in a second


class _Loader(yaml.SafeLoader):
    """Version 1.2; PyYAML would take the last of two equal keys."""

    yaml_implicit_resolvers: dict = {}

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for (_, key), n in keys.items():
            if n > 1:
                raise ValueError(f"line {node.start_mark.line + 1}: the key {key!r} occurs {n} times; keep one")
        return node

    def construct_object(self, node, deep=False):
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:  # as of `!!bool 2`
            if not isinstance(node, yaml.ScalarNode):
                raise  # it was said of a scalar within
            kind = node.tag.rpartition(":")[2]
            raise ValueError(
                f"line {node.start_mark.line + 1}: {node.value[:40]!r} is no {kind} ({error}); put text in quotes"
            ) from None

    def construct_whole_number(self, node):
        return int(self.construct_scalar(node))  # 010 is ten


for _kind, _form in _MEANT.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"(?:{_form})\\Z"), None)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole_number)


@cache  # a notebook asks for its profile dozens of times
def parse(text: str) -> Any:
    """What a text says.

    Raises
    ------
    ValueError
        If it is no YAML, says a key twice, or is too long: one sentence that names the line.
    """
    if len(text) > _LONGEST:
        raise ValueError(f"it has {len(text):,} characters; allowed are {_LONGEST:,}")
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        tabs = "; indent with blanks, not tabs" if "\\t" in error.problem else ""
        raise ValueError(f"line {line} is not YAML: {error.problem}{tabs}") from None
    except yaml.reader.ReaderError as error:
        raise ValueError(
            f"character {error.position + 1} is not text but {error.character:#x}; save the file as UTF-8 text"
        ) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
