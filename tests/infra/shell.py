"""Finds the commands of one tool in the shell blocks of a Markdown page, as that tool would get them."""

from __future__ import annotations

import re
from collections.abc import Iterator

# every block is matched, so that the end of one is never taken for the beginning of the next
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# a command begins at a line's begin, in a substitution, after a sign that ends another, or in the body of a function
_BEFORE = r"(?:^|\$\(|[;|&{]|\bthen|\bdo)[ \t]*"


def commands(markdown: str, tool: str) -> Iterator[str]:
    """Each call of ``tool`` on one line, with names for variables and the word ``printed`` for substitutions."""
    for language, block in _BLOCK.findall(markdown):
        if language not in {"", "sh", "bash"}:
            continue
        text = re.sub(r"(?m)^\s*#.*$", "", re.sub(r"\\\n\s*", "", block))
        for found in re.finditer(rf"{_BEFORE}({tool} )", text, re.MULTILINE):
            yield _expanded(_one(text, found.start(1)))


def _one(text: str, at: int) -> str:
    """The command that begins at ``at``, up to what ends it outside of quotes and substitutions."""
    start, quotes, depth = at, "", 0
    while at < len(text):
        sign = text[at]
        if sign == "\\" and quotes != "'":
            at += 1
        elif text.startswith("$(", at) and quotes != "'":
            inner = _one_substitution(text, at + 2)
            text = text[:at] + "printed" + text[inner + 1 :]
            at += len("printed") - 1
        elif sign in "'\"":
            quotes = sign if not quotes else "" if quotes == sign else quotes
        elif not quotes and sign == "(":
            depth += 1
        elif not quotes and sign in ")\n;|&>" and depth == 0:
            break
        elif not quotes and sign == ")":
            depth -= 1
        at += 1
    return text[start:at].strip()


def _one_substitution(text: str, at: int) -> int:
    """Where the substitution ends whose inside begins at ``at``; quotes inside are its own."""
    quotes, depth = "", 0
    while at < len(text):
        sign = text[at]
        if sign in "'\"":
            quotes = sign if not quotes else "" if quotes == sign else quotes
        elif not quotes and sign == "(":
            depth += 1
        elif not quotes and sign == ")":
            if depth == 0:
                return at
            depth -= 1
        at += 1
    raise ValueError(f"a substitution does not end: {text[:80]}")


def _expanded(command: str) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda found: f"value{found[1]}", command)
