"""How many estates the properties of planning are tried on: some with every run of the tests, more in ``make soak``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

LONG = os.environ.get("REALIGN_LONG") == "1"

# Derandomised: a failure in a pull request is that pull request's, and the same on every machine.
some_estates = settings(
    max_examples=1_000 if LONG else 50,
    deadline=None,
    derandomize=not LONG,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
