"""What stops the host, or one of its functions, from starting: a sentence for the person at the terminal."""

from __future__ import annotations


class HostError(Exception):
    """The app can't be served at all: the host ends with this sentence."""


class FunctionError(Exception):
    """One function can't be served: the host logs this sentence and goes on with the others, as Azure does."""
