"""Reads profiles: one JSON file each, in a folder or wherever their texts come from.

A file with errors disables that profile alone; each error names the file, the field and the remedy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.profile.profile import PROFILE_NAME, Profile
from shared.validation import explain


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile's file: a profile, or the errors that disable it.

    ``named`` is False where the file says no usable name, and ``name`` is that of the file.
    """

    name: str
    file: str
    profile: Profile | None
    errors: tuple[str, ...] = ()
    named: bool = True


def read_profiles(folder: Path) -> dict[str, ProfileFile]:
    """All profiles of a folder by name, broken ones included.

    A folder that is not there is an empty one.
    """
    return by_name(_read_file(path) for path in (sorted(folder.glob("*.json")) if folder.is_dir() else ()))


def by_name(entries: Iterable[ProfileFile]) -> dict[str, ProfileFile]:
    """Files by the profiles' names. Two with one name are both disabled: which is meant is not known."""
    found: dict[str, list[ProfileFile]] = {}
    nameless: list[ProfileFile] = []
    for entry in entries:
        if entry.named:
            found.setdefault(entry.name, []).append(entry)
        else:
            nameless.append(entry)
    result = {name: entries[0] if len(entries) == 1 else _clash(name, entries) for name, entries in found.items()}
    for entry in nameless:
        # a name that was only taken from the file's must not disable the profile that really bears it
        name = entry.name if entry.name not in result else entry.file
        result[name] = replace(entry, name=name)
    return result


def _clash(name: str, entries: list[ProfileFile]) -> ProfileFile:
    files = ", ".join(entry.file for entry in entries)
    return ProfileFile(name, files, None, (f"{files}: name: '{name}' stands in several files. Rename all but one.",))


def _read_file(path: Path) -> ProfileFile:
    try:
        content = path.read_bytes()
    except OSError as error:
        return unusable(path.name, f"cannot be read: {error.strerror}. Replace the file.")
    return decode_profile(content, file=path.name)


def decode_profile(content: bytes, *, file: str) -> ProfileFile:
    """One profile from a file's content. Never raises for bad content."""
    try:
        return parse_profile(content.decode("utf-8-sig"), file=file)
    except UnicodeDecodeError:
        return unusable(file, "is not UTF-8 text. Save it as UTF-8.")


def parse_profile(text: str, *, file: str) -> ProfileFile:
    """One profile from its JSON text; ``file`` is its name in error messages. Never raises for bad content."""
    try:
        document = json.loads(text, object_pairs_hook=_no_repeats)
        # through JSON, so that lists are accepted as tuples although the model is strict
        again = json.dumps(document)
    except json.JSONDecodeError as error:
        return unusable(file, f"line {error.lineno}, column {error.colno}: is not JSON: {error.msg}. Correct the text.")
    except _Repeated as error:
        return unusable(file, f"{error}: stands twice in one object. Remove one of the two.")
    except (ValueError, RecursionError):
        return unusable(
            file, "is not JSON that can be read: it is nested too deeply, or has a number that is too long."
        )
    if not isinstance(document, dict):
        return unusable(file, "is not a JSON object. Start it with '{'.")
    name = document.get("name")
    named = isinstance(name, str) and PROFILE_NAME.fullmatch(name) is not None
    known = str(name) if named else _stem(file)
    try:
        return ProfileFile(known, file, Profile.model_validate_json(again))
    except ValidationError as error:
        errors = tuple(f"{file}: {line}" for line in explain(error, Profile))
        return ProfileFile(known, file, None, errors, named=named)


def _stem(file: str) -> str:
    return file.removesuffix(".json")


def unusable(file: str, sentence: str) -> ProfileFile:
    """A file that tells no profile; ``sentence`` says why, and what to do."""
    return ProfileFile(_stem(file), file, None, (f"{file}: {sentence}",), named=False)


class _Repeated(ValueError):
    """Its text is the key."""


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _Repeated(key)
        result[key] = value
    return result
