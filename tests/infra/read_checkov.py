"""Runs checkov's Bicep checks over a folder and prints what they say as JSON: failed, passed, broken and unreadable.

Runs in checkov's environment, not in Realign's. It calls checkov's own runner and not its command, which first asks a
server of its maker, and waits for it.
"""

import json
import logging
import sys

import checkov.arm.checks.resource  # noqa: F401 - importing registers the checks; those for ARM look at Bicep too
import checkov.bicep.checks.param.azure  # noqa: F401
import checkov.bicep.checks.resource.azure  # noqa: F401
from checkov.bicep.runner import Runner
from checkov.runner_filter import RunnerFilter


class Broken(logging.Handler):
    """Checks that ended with an error of their own: they have seen nothing, so they must not count as passed."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


def main():
    broken = Broken()
    logging.getLogger().addHandler(broken)
    report = Runner().run(root_folder=sys.argv[1], runner_filter=RunnerFilter(framework=["bicep"]))
    said = {
        "failed": [seen(record) for record in report.failed_checks],
        "passed": [seen(record) for record in report.passed_checks],
        "broken": broken.lines,
        "unreadable": report.parsing_errors,
    }
    sys.__stdout__.write(json.dumps(said))


def seen(record):
    return {"check": record.check_id, "at": f"{record.file_path.lstrip('/')}:{record.resource.rpartition('.')[2]}"}


if __name__ == "__main__":
    main()
