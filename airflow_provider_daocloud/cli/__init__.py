"""``airflow daocloud …`` (3.2+), and ``python -m airflow_provider_daocloud …`` everywhere.

For DaoCloud Enterprise: ``airflow daocloud-enterprise …``, and ``… enterprise …``.

Exit codes, for scripts:

- 0: it is done; without ``--wait``: it was accepted.
- 1: DaoCloud says no: the action or the build failed, or the call is refused (a wrong token, no
  such app, or several of that name).
- 2: unusable input: an option, or a field of the connection. Nothing was sent.
- 3: outage, or outcome unknown: DaoCloud cannot be read, or nobody can tell whether it accepted
  the action.
- 4: the time is up, and it is still pending.
- 130: Ctrl-C. DaoCloud continues what it has accepted.

The result goes to the standard output, everything else to the standard error. The exit code is that
of the action also when nobody reads them (``| true``, ``| head``), or when they cannot be written:
a script that took this for a failure would act twice. A character that the terminal cannot show is
escaped.

The access token comes from the Airflow Connection, and never from the command line.
"""

from __future__ import annotations

import argparse
from typing import Any

from airflow_provider_daocloud.cli import enterprise, openapi


def get_daocloud_cli_commands() -> list[Any]:
    """Return the command groups, as Airflow 3.2+ asks for them through the provider's metadata."""
    return [openapi.group(), enterprise.group()]


def main(argv: list[str] | None = None) -> None:
    """Run a command, and exit with its code.

    :param argv: the arguments; those of this process if not given.
    """
    open_api, of_enterprise = get_daocloud_cli_commands()
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_daocloud", description=open_api.description
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_commands(commands, open_api)
    one = commands.add_parser(
        "enterprise", help=of_enterprise.help, description=of_enterprise.description
    )
    _add_commands(one.add_subparsers(metavar="COMMAND", required=True), of_enterprise)
    args = parser.parse_args(argv)
    args.func(args)


def _add_commands(commands: Any, group: Any) -> None:
    for command in group.subcommands:
        one = commands.add_parser(command.name, help=command.help, description=command.help)
        for arg in command.args:
            arg.add_to_parser(one)
        one.set_defaults(func=command.func)
