"""Reads the profiles folder: one JSON file a profile.

A file with errors disables that profile alone; each error names the file, the field and the remedy.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.profile import PROFILE_NAME, Profile
from shared.validation import explain


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A file of the profiles folder: a profile, or the errors that disable it."""

    name: str
    file: str
    profile: Profile | None
    errors: tuple[str, ...] = ()


def read_profiles(folder: Path) -> dict[str, ProfileFile]:
    """All profiles of a folder by name, broken ones included.

    A folder that is not there is an empty one. Two files with one name are both disabled: which is meant is not known.
    """
    found: dict[str, list[ProfileFile]] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        entry = _read_file(path)
        found.setdefault(entry.name, []).append(entry)
    return {name: entries[0] if len(entries) == 1 else _clash(name, entries) for name, entries in found.items()}


def _clash(name: str, entries: list[ProfileFile]) -> ProfileFile:
    files = ", ".join(entry.file for entry in entries)
    return ProfileFile(name, files, None, (f"{files}: name: '{name}' stands in several files. Rename all but one.",))


def _read_file(path: Path) -> ProfileFile:
    try:
        return parse_profile(path.read_text(encoding="utf-8-sig"), file=path.name)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        return ProfileFile(path.stem, path.name, None, (f"{path.name}: cannot be read: {reason}. Replace the file.",))


def parse_profile(text: str, *, file: str) -> ProfileFile:
    """One profile from its JSON text; ``file`` is its name in error messages. Never raises for bad content."""
    stem = file.removesuffix(".json")
    try:
        document = json.loads(text, object_pairs_hook=_no_repeats)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        return ProfileFile(stem, file, None, (f"{file}: {where}: is not JSON: {error.msg}. Correct the text there.",))
    except ValueError as error:
        return ProfileFile(stem, file, None, (f"{file}: {error}",))
    if not isinstance(document, dict):
        return ProfileFile(stem, file, None, (f"{file}: is not a JSON object. Start it with '{{'.",))
    name = document.get("name")
    known = name if isinstance(name, str) and PROFILE_NAME.match(name) else stem
    try:
        # through JSON, so that lists are accepted as tuples although the model is strict
        return ProfileFile(known, file, Profile.model_validate_json(json.dumps(document)))
    except ValidationError as error:
        return ProfileFile(known, file, None, tuple(f"{file}: {line}" for line in explain(error, Profile)))


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"{key}: stands twice in one object. Remove one of the two.")
        result[key] = value
    return result
