"""``python -m airflow_provider_daocloud.sandbox``: the sandbox as a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, get_args, get_origin, get_type_hints

from airflow_provider_daocloud.sandbox import seeded
from airflow_provider_daocloud.sandbox.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_provider_daocloud.sandbox.server import Sandbox
    from airflow_provider_daocloud.sandbox.service import Served

TOKEN_VARIABLE = "DAOCLOUD_SANDBOX_TOKEN"  # noqa: S105 - the variable's name


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = server_parser("python -m airflow_provider_daocloud.sandbox", "a toy DaoCloud", "/v1")
    parser.add_argument(
        "--build-after",
        type=float,
        metavar="SECONDS",
        help="start a build of the flow `web` by itself, so long after the start",
    )
    add_options(parser, Options)
    return parser.parse_args(argv)


def server_parser(prog: str, served: str, prefix: str) -> argparse.ArgumentParser:
    """Return a parser of what all sandboxes take.

    :param prog: the command.
    :param served: what it serves.
    :param prefix: the usual path in front of the calls.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=f"Serve {served} on this machine.",
        epilog=f"The access token comes from {TOKEN_VARIABLE}, or from --token-file, "
        "or is made up.",
        allow_abbrev=False,  # or `--token SECRET` would be taken for a file
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8321, help="0 for a free one (%(default)s)")
    parser.add_argument("--seed", type=int, help="make the ids the same in every run")
    parser.add_argument("--empty", action="store_true", help="begin with an empty world")
    parser.add_argument(
        "--prefix", default=prefix, help=f"path in front of the calls ({prefix or 'none'})"
    )
    parser.add_argument("--token-file", type=Path, help="file whose first line is the token")
    parser.add_argument("--tls-cert", type=Path, help="certificate (PEM): serve HTTPS")
    parser.add_argument("--tls-key", type=Path, help="its key (PEM), if it is not in the same file")
    parser.add_argument(
        "--keep-alive",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="close a connection that idles so long (%(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="no line for each call")
    return parser


def add_options(parser: argparse.ArgumentParser, options: type[Any]) -> None:
    """Add a flag for each option of a world, with the help that its docstring has.

    :param parser: the parser.
    :param options: the world's options.
    """
    group = parser.add_argument_group("how the world behaves (times in seconds)")
    helps = dict(re.findall(r":param (\w+): (.*?)(?=\n\s+:param|\Z)", options.__doc__ or "", re.S))
    for name, kind in get_type_hints(options).items():
        default = getattr(options(), name)
        text = " ".join(helps.get(name, "").replace("``", "").replace("None", "none").split())
        arguments: dict[str, Any] = {"dest": f"option_{name}", "default": argparse.SUPPRESS}
        if kind is bool:
            arguments["action"] = argparse.BooleanOptionalAction
        elif get_origin(kind) is Literal:
            arguments |= {"choices": get_args(kind), "type": type(default)}
        elif get_origin(kind) is dict:
            arguments |= {"action": "append", "type": _pair, "metavar": "WORD=OTHER"}
        else:
            arguments |= {"type": _number(kind), "metavar": "N"}
        shown = f"{text} ({str(default).lower()})" if default != {} else text
        group.add_argument(f"--{name.replace('_', '-')}", help=shown, **arguments)


def _number(kind: Any) -> Callable[[str], float | None]:
    types = get_args(kind) or (kind,)

    def number(text: str) -> float | None:
        if text == "none" and type(None) in types:
            return None
        return int(text) if int in types else float(text)

    return number


def _pair(text: str) -> tuple[str, str]:
    word, _, other = text.partition("=")
    return word, other


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a world that were given."""
    return {
        name.removeprefix("option_"): value
        for name, value in vars(arguments).items()
        if name.startswith("option_")
    }


def _options(arguments: argparse.Namespace) -> Options:
    given = given_options(arguments)
    if "state_words" in given:
        given["state_words"] = dict(given["state_words"])
    return Options(**given)


def given_token(file: Path | None) -> str | None:
    """Return the token from a file, or from the environment."""
    if file is not None:
        return file.read_text().partition("\n")[0].strip()
    return os.environ.get(TOKEN_VARIABLE) or None


def say(text: str, stream: TextIO | None = None) -> None:
    """Print, whatever the console is like: the service must not end with its audience."""
    stream = stream or sys.stdout
    try:
        print(text, file=stream, flush=True)
    except (OSError, ValueError):
        # Nobody reads any more (`| head`, a full disk), nor will the interpreter's last flush fail.
        with contextlib.suppress(OSError, ValueError), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _visible(text: str) -> str:
    """Return text with all control characters escaped: what a client sends forges no line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def print_call(served: Served) -> None:
    """Print one line for a call."""
    status = served.status or "broken"
    fault = f" [{served.fault}]" if served.fault else ""
    say(_visible(f"{served.method:4} {served.path} {status}{fault}  {served.note}"))


def print_error(error: Exception) -> None:
    """Print what broke the answering of a call."""
    say("".join(traceback.format_exception(error)), sys.stderr)


def _print_welcome(sandbox: Sandbox) -> None:
    calls = sandbox.url + sandbox.service.prefix
    curl = ["curl", "--insecure"] if sandbox.url.startswith("https") else ["curl"]
    reading = [*curl, "-H", f"Authorization: token {sandbox.token}"]
    world = sandbox.world
    say(f"A toy DaoCloud listens on {sandbox.url}. Its access token is for it alone.\n")
    say(f"export AIRFLOW_CONN_DAOCLOUD_DEFAULT={shlex.quote(sandbox.connection_json())}\n")
    say(shlex.join([*reading, f"{calls}/apps"]))
    for web in [app for app in world.apps.values() if app.name == "web"]:
        writing = [*reading, "-X", "POST", "-H", "Content-Type: application/json"]
        writing += ["-d", '{"release_name": "v1.1.0"}', f"{calls}/apps/{web.id}/actions/redeploy"]
        say(f"{shlex.join(writing)}\n")
    for app in world.apps.values():
        say(f"app        {app.id}  {app.name:8} {app.rest_state:9} {app.release_name}")
    for flow in world.build_flows.values():
        say(f"build flow {flow.id}  {flow.name:8} {flow.status}")
    for stack in world.stacks.values():
        say(f"stack      {stack.id}  {stack.name}")
    inside = shlex.join([*curl, f"{sandbox.url}/_sandbox"])
    say(f"\nInspect it and break it: {inside}")


def _sandbox(arguments: argparse.Namespace) -> Sandbox:
    from airflow_provider_daocloud.sandbox import Sandbox

    sandbox = Sandbox(
        arguments.port,
        host=arguments.host,
        token=given_token(arguments.token_file),
        seed=arguments.seed,
        options=_options(arguments),
        fill=None if arguments.empty else seeded.fill,
        prefix=arguments.prefix,
        certfile=arguments.tls_cert,
        keyfile=arguments.tls_key,
        keep_alive=arguments.keep_alive,
        on_served=None if arguments.quiet else print_call,
        on_error=print_error,
    )
    if arguments.build_after is not None:
        sandbox.world.build_flows.start_later("web", arguments.build_after)
    return sandbox


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status."""
    arguments = _arguments(argv)
    return serve(lambda: _sandbox(arguments), _print_welcome)


def serve(make: Callable[[], Any], print_welcome: Callable[[Any], None]) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status.

    :param make: makes the sandbox.
    :param print_welcome: prints what somebody needs who wants to use it.
    """
    from airflow_provider_daocloud.sandbox import SandboxError

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names need not fit the terminal
    ended = threading.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, lambda *_: ended.set())
    try:
        with make() as sandbox:
            print_welcome(sandbox)
            # With a time-out: a signal is only seen between waits on some platforms.
            while not ended.wait(1.0):
                sandbox.check()
    except (SandboxError, LookupError, ValueError, OSError) as error:
        say(f"sandbox: {error}", sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
