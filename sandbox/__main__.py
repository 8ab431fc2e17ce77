"""``python -m sandbox``: the whole sandbox (``serve``), a failover played in it (``demo``), or the host alone."""

from __future__ import annotations

import argparse
import sys


def parser() -> argparse.ArgumentParser:
    """The command line. ``serve`` and ``demo`` get the parsed arguments as they are."""
    top = argparse.ArgumentParser(prog="python -m sandbox", description="Stand-ins for all that Realign talks to.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    host = commands.add_parser("host", help="serve a function app with what the environment points at")
    host.add_argument(
        "--port", type=int, default=7071, metavar="P", help="port on 127.0.0.1; 0: any free one (%(default)s)"
    )
    host.add_argument("--app", default=".", metavar="DIR", help="the app's directory (default: the current one)")

    serve = commands.add_parser("serve", help="run everything until Ctrl-C")
    serve.add_argument("--machines", type=int, default=None, metavar="N", help="machines in the site")
    serve.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same estate (%(default)s)")
    serve.add_argument("--latency-ms", type=int, default=0, metavar="L", help="delay of every answer (%(default)s)")
    serve.add_argument(
        "--fault", action="append", default=[], metavar="NAME[=VALUE]", help="switch a fault on; may be repeated"
    )
    serve.add_argument("--port", type=int, default=0, metavar="P", help="port of the app; 0: any free one")
    serve.add_argument(
        "--relay", choices=("hcm", "azbridge", "tcp"), default=None,
        help="put all of it behind the simulated Azure Relay, with this listener; tcp: nothing (default: as the story)",
    )  # fmt: skip
    serve.add_argument("--scenario", default=None, metavar="NAME", help="the estate's story; an unknown name lists all")

    demo = commands.add_parser("demo", help="play a failover from drift to verified")
    demo.add_argument("--port", type=int, default=0, metavar="P", help="port of the app; 0: any free one")
    return top


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and gives the exit code."""
    args = parser().parse_args(arguments)
    # Imported late: the host alone must start without the simulators.
    if args.command == "host":
        from sandbox.host import server

        return server.main(args)
    if args.command == "serve":
        from sandbox import serve

        return serve.main(args)
    from sandbox import demo

    return demo.main(args)


if __name__ == "__main__":
    sys.exit(main())
