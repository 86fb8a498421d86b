"""``python -m airflow_provider_daocloud.sandbox``: the sandbox as a process of its own."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_daocloud.sandbox.server import Sandbox
    from airflow_provider_daocloud.sandbox.service import Served

TOKEN_VARIABLE = "DAOCLOUD_SANDBOX_TOKEN"  # noqa: S105 - the variable's name


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_daocloud.sandbox",
        description="Serve a toy DaoCloud on this machine.",
        epilog=f"The access token comes from {TOKEN_VARIABLE}, or from --token-file, "
        "or is made up.",
        allow_abbrev=False,  # or `--token SECRET` would be taken for a file
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8321, help="0 for a free one (%(default)s)")
    parser.add_argument(
        "--speed", type=float, default=1.0, help="how many times faster actions and builds go"
    )
    parser.add_argument("--rate-limit", type=int, default=5000, help="calls an hour (%(default)s)")
    parser.add_argument("--seed", type=int, help="make the ids the same in every run")
    parser.add_argument("--prefix", default="/v1", help="path in front of the calls (%(default)s)")
    parser.add_argument(
        "--build-after",
        type=float,
        metavar="SECONDS",
        help="start a build of the flow `web` by itself, so long after the start",
    )
    parser.add_argument("--token-file", type=Path, help="file whose first line is the token")
    parser.add_argument("--tls-cert", type=Path, help="certificate (PEM): serve HTTPS")
    parser.add_argument("--tls-key", type=Path, help="its key (PEM)")
    parser.add_argument("--quiet", action="store_true", help="no line for each call")
    return parser.parse_args(argv)


def _token(file: Path | None) -> str | None:
    if file is not None:
        return file.read_text().partition("\n")[0].strip()
    return os.environ.get(TOKEN_VARIABLE) or None


def _print_call(served: Served) -> None:
    status = served.status or "broken"
    fault = f" [{served.fault}]" if served.fault else ""
    print(f"{served.method:4} {served.path} {status}{fault}  {served.note}", flush=True)


def _print_welcome(sandbox: Sandbox, prefix: str) -> None:
    print(f"A toy DaoCloud listens on {sandbox.url}. Its access token is for it alone.\n")
    print(f"export AIRFLOW_CONN_DAOCLOUD_DEFAULT={shlex.quote(sandbox.connection_json())}\n")
    insecure = " --insecure" if sandbox.url.startswith("https") else ""
    web = sandbox.world.app("web")
    print(f"curl{insecure} -H 'Authorization: token {sandbox.token}' {sandbox.url}{prefix}/apps")
    print(
        f"curl{insecure} -X POST -H 'Authorization: token {sandbox.token}' "
        "-H 'Content-Type: application/json' -d '{\"release_name\": \"v1.1.0\"}' "
        f"{sandbox.url}{prefix}/apps/{web.id}/actions/redeploy\n"
    )
    for app in sandbox.world.apps.values():
        print(f"app        {app.id}  {app.name:8} {app.rest_state:9} {app.release_name}")
    for flow in sandbox.world.build_flows.values():
        print(f"build flow {flow.id}  {flow.name:8} {flow.status}")
    for stack in sandbox.world.stacks.values():
        print(f"stack      {stack.id}  {stack.name}")
    print(f"\nLook inside and break things: curl{insecure} {sandbox.url}/_sandbox", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    from airflow_provider_daocloud.sandbox import Sandbox, SandboxError

    arguments = _arguments(argv)
    ended = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: ended.set())
    try:
        sandbox = Sandbox(
            arguments.port,
            host=arguments.host,
            speed=arguments.speed,
            rate_limit=arguments.rate_limit,
            token=_token(arguments.token_file),
            seed=arguments.seed,
            prefix=arguments.prefix,
            certfile=arguments.tls_cert,
            keyfile=arguments.tls_key,
            on_served=None if arguments.quiet else _print_call,
        )
        if arguments.build_after is not None:
            sandbox.world.start_build_later("web", arguments.build_after)
        with sandbox:
            _print_welcome(sandbox, arguments.prefix)
            # With a time-out: a signal is only seen between waits on some platforms.
            while not ended.wait(1.0):
                sandbox.check()
    except (SandboxError, ValueError, OSError) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
