"""``python -m airflow_provider_daocloud.sandbox.enterprise``: as a process of its own."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.__main__ import (
    add_options,
    given_options,
    given_token,
    print_call,
    print_error,
    say,
    serve,
    server_parser,
)
from airflow_provider_daocloud.sandbox.enterprise import seeded
from airflow_provider_daocloud.sandbox.enterprise.options import EnterpriseOptions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox


def _sandbox(arguments: argparse.Namespace) -> EnterpriseSandbox:
    from airflow_provider_daocloud.sandbox.enterprise.server import EnterpriseSandbox

    return EnterpriseSandbox(
        arguments.port,
        host=arguments.host,
        token=given_token(arguments.token_file),
        seed=arguments.seed,
        options=EnterpriseOptions(**given_options(arguments)),
        fill=None if arguments.empty else seeded.fill,
        prefix=arguments.prefix,
        certfile=arguments.tls_cert,
        keyfile=arguments.tls_key,
        keep_alive=arguments.keep_alive,
        on_served=None if arguments.quiet else print_call,
        on_error=print_error,
    )


def _print_welcome(sandbox: EnterpriseSandbox) -> None:
    curl = ["curl", "--insecure"] if sandbox.url.startswith("https") else ["curl"]
    say(f"A toy DaoCloud Enterprise listens on {sandbox.url}. Its access key is for it alone.\n")
    connection = shlex.quote(sandbox.connection_json())
    say(f"export AIRFLOW_CONN_DAOCLOUD_ENTERPRISE_DEFAULT={connection}\n")
    path = f"{sandbox.service.prefix}/apis/ghippo.io/v1alpha1/current-user"
    reading = [*curl, "-H", f"Authorization: Bearer {sandbox.token}", sandbox.url + path]
    say(f"{shlex.join(reading)}\n")
    for one in sandbox.world.workloads.all():
        say(f"{one.kind.lower():11} {one.place.cluster}/{one.place.namespace}/{one.name}")
    for pipeline in sandbox.world.pipelines.all():
        workspace = sandbox.world.places.workspace(pipeline.workspace_id).alias
        say(f"pipeline    {workspace}/{pipeline.name}")
    say(f"\nInspect it and break it: {shlex.join([*curl, f'{sandbox.url}/_sandbox'])}")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    prog = "python -m airflow_provider_daocloud.sandbox.enterprise"
    parser = server_parser(prog, "a toy DaoCloud Enterprise", "")
    add_options(parser, EnterpriseOptions)
    arguments = parser.parse_args(argv)
    return serve(lambda: _sandbox(arguments), _print_welcome)


if __name__ == "__main__":
    sys.exit(main())
