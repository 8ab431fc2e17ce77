"""Reads the machine names of an uploaded CSV: a ``Name`` column, as Excel writes it."""

from __future__ import annotations

import csv
import io

from shared.errors import InvalidRequest

FIELD = "machinesCsv"
LARGEST = 10 * 1024 * 1024  # characters
LONGEST_NAME = 1_000  # characters, as in a scope
_SEPARATORS = ",;\t"


def names_from_csv(text: str) -> tuple[str, ...]:
    """The values of the column ``Name`` in their order, without blanks and repeats.

    The separator is a comma, a semicolon or a tab, whichever the header line has. Raises ``InvalidRequest`` that names
    the field for an empty text, one without the column, one without names, a name over
    1,000 characters, and a text over 10 MB.
    """
    if len(text) > LARGEST:
        raise InvalidRequest(f"{FIELD}: has {len(text):,} characters; {LARGEST:,} is the most. Split it.", field=FIELD)
    content = text.lstrip("\ufeff").lstrip("\r\n")
    if not content.strip():
        raise InvalidRequest(f"{FIELD}: is empty. Send a CSV with a column Name.", field=FIELD)
    header_line = content.splitlines()[0]
    separator = max(_SEPARATORS, key=header_line.count)
    try:
        rows = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
        header = [cell.strip().casefold() for cell in next(rows)]
        if "name" not in header:
            raise InvalidRequest(f"{FIELD}: is no CSV with a column Name in its first line. Add it.", field=FIELD)
        column = header.index("name")
        names = [row[column].strip() for row in rows if len(row) > column]
    except csv.Error as error:
        raise InvalidRequest(
            f"{FIELD}: is no well-formed CSV: {error}. Save it again as CSV. A quote that is never closed joins lines: "
            "look for one.",
            field=FIELD,
        ) from error
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST_NAME:
        raise InvalidRequest(
            f"{FIELD}: holds a name of {len(longest):,} characters; {LONGEST_NAME:,} is the most. A quote that is "
            "never closed joins lines: look for one.",
            field=FIELD,
        )
    found = tuple(dict.fromkeys(name for name in names if name))
    if not found:
        raise InvalidRequest(f"{FIELD}: its column Name holds no name. Add at least one machine.", field=FIELD)
    return found
