"""Puts command lines through the Azure CLI's own parsers and prints what these say, without running anything.

Runs in the environment of azure-cli, not in Realign's. Reads ``["az ..."]`` as JSON and prints ``[null | "fault"]``.
Only the parts of the CLI whose dependencies are installed are loaded.
"""

import contextlib
import io
import json
import os
import shlex
import sys
import tempfile

os.environ["AZURE_CONFIG_DIR"] = tempfile.mkdtemp()  # nobody's settings count, and none are written
os.environ["AZURE_CORE_COLLECT_TELEMETRY"] = "no"

from azure.cli.core import get_default_cli  # noqa: E402 - it reads the environment as it is imported
from azure.cli.core.commands import _load_module_command_loader, _pre_command_table_create  # noqa: E402
from knack.util import CLIError  # noqa: E402

PARTS = {  # the part of the CLI that has a group of commands
    "account": "profile",
    "ad": "role",
    "bicep": "resource",
    "deployment": "resource",
    "functionapp": "appservice",
    "group": "resource",
    "keyvault": "keyvault",
    "login": "profile",
    "network": "network",
    "provider": "resource",
    "relay": "relay",
    "resource": "resource",
    "rest": "util",
    "role": "role",
    "storage": "storage",
}


def main():
    cli = get_default_cli()
    json.dump([wrong_with(cli, line) for line in json.load(sys.stdin)], sys.__stdout__)


def wrong_with(cli, line):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            problem = parsed(cli, shlex.split(line)[1:])
        except SystemExit:
            problem = "refused"
        except (CLIError, ValueError) as error:
            problem = str(error)
    return None if problem is None else f"{problem}: {said.getvalue().strip()[:500]}"


def parsed(cli, arguments):
    """None where the CLI would run it. Files that the arguments name are read, as the CLI does."""
    arguments = _pre_command_table_create(cli, arguments)
    cli.invocation = invoker = cli.invocation_cls(
        cli_ctx=cli,
        parser_cls=cli.parser_cls,
        commands_loader_cls=cli.commands_loader_cls,
        help_cls=cli.help_cls,
    )
    loader = invoker.commands_loader
    if arguments[0] not in PARTS:
        return f"no command {arguments[0]} is loaded here: name its part of the CLI"
    part = PARTS[arguments[0]]
    loader.command_table, loader.command_group_table, of_part = _load_module_command_loader(loader, arguments, part)
    for name, command in loader.command_table.items():
        command.command_source = part
        loader.cmd_to_loader_map[name] = [of_part]
    name = invoker._rudimentary_get_command(arguments)
    if name not in loader.command_table:
        return f"no command {name or arguments[0]}"
    loader.command_table = {name: loader.command_table[name]}
    invoker.data["command_string"] = name
    loader.load_arguments(name)
    invoker.parser.load_command_table(loader)
    invoker.parser.parse_args(arguments)
    return None


if __name__ == "__main__":
    main()
