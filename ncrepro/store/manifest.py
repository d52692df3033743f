"""What a run made and of what: enough to say, without running it again, whether it is up to date.

A manifest is a JSON file. It holds what was asked (cells, parameters), the fingerprints of all code that was used, the
digests of all files that were read and written, and the artefacts that were made or used. A run is up to date when all
of that is still so; times of files do not count.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from . import artifacts, fingerprint, paths
from .file_digests import digest

KINDS = {"code": list, "module": list, "read": dict, "write": dict, "there": dict, "artefact": list}  # in a manifest


def save(path: Path, request: dict, facts: Iterable[str], made: Iterable[Path] = (), result=None) -> None:
    """Write the manifest of a run that is over.

    Parameters
    ----------
    path : Path
    request : dict
        What the run was asked to do; compared as it is.
    facts : lines of `trace`
    made : paths
        Files written beside those in ``facts``.
    result
        What the run gave beside files, as JSON can hold it.
    """
    noted: dict[str, list] = {kind: [] for kind in KINDS}
    noted["write"] = [paths.relative(file) for file in made]
    for line in facts:
        kind, fact = json.loads(line)
        noted[kind].append(fact)
    written = {file for file in noted["write"] if (paths.root() / file).is_file()}
    content = {
        "asked": request,
        "result": result,
        "code": sorted(noted["code"], key=json.dumps),
        "read": {file: digest(paths.root() / file) for file in sorted(set(noted["read"]) - written)},
        "write": {file: digest(paths.root() / file) for file in sorted(written)},
        "there": dict(noted["there"]),
        "artefact": sorted(set(noted["artefact"])),
        "module": sorted(set(noted["module"]) & set(fingerprint.modules())),
    }
    artifacts.write(path, json.dumps(content | {"sha256": _checksum(content)}, indent=1) + "\n")


def _checksum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load(path: Path) -> dict | None:
    """The manifest at ``path``; None where there is none, or it is damaged, or other code wrote it in another form."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        whole = content.pop("sha256", None) == _checksum(content)
        known = all(isinstance(content.get(key), kind) for key, kind in (KINDS | {"asked": dict}).items())
        return content if whole and known else None
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return None


def why_again(path: Path, request: dict) -> str | None:
    """Why a run has to be made again, in a few words, by its manifest at ``path``; None if it is up to date."""
    content = load(path)
    if content is None:
        return "it has not run yet"
    for key in request:
        if content["asked"].get(key) != request[key]:
            return f"its {key} changed"
    for used in content["code"]:
        try:
            now = fingerprint.of(*used["roots"], stops=used["stops"])
        except (LookupError, SyntaxError):
            now = None
        if now != used["fingerprint"]:
            return f"the code behind {used['roots'][0] if chr(10) not in used['roots'][0] else 'its cells'} changed"
    for kind, happened in (("write", "is not what it wrote"), ("read", "changed")):
        for file, was in content[kind].items():
            if digest(paths.root() / file) != was:
                return f"{file} {happened}"
    for file, was in content["there"].items():
        if (paths.root() / file).exists() != was:
            return f"{file} was {'removed' if was else 'added'}"
    damaged = artifacts.damaged(paths.root() / file for file in content["artefact"])
    return f"{paths.relative(damaged[0])} is missing or damaged" if damaged else None
