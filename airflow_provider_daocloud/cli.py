"""``airflow daocloud …`` (3.2+), and ``python -m airflow_provider_daocloud …`` everywhere.

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
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from airflow_provider_daocloud.api.errors import (
    ActionFailedError,
    AuthenticationError,
    BuildFailedError,
    CallError,
    DaoCloudError,
    InputError,
    NameMatchError,
    NotFoundError,
    RefusedError,
    WaitError,
    WaitTimeoutError,
)
from airflow_provider_daocloud.api.validation import checked

if TYPE_CHECKING:
    from airflow_provider_daocloud.core.waiting.wait import Wait
    from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook

    Rows = list[dict[str, Any]]
    Run = Callable[[argparse.Namespace, DaoCloudHook], Rows]

T = TypeVar("T")

# For how long one call may be retried, in seconds: a person is waiting.
RETRY_TIMEOUT = 15.0

DONE, SAYS_NO, UNUSABLE, UNKNOWN, TIME_IS_UP, STOPPED = 0, 1, 2, 3, 4, 130

SUMMARY = "Show apps, build flows and stacks of DaoCloud, build, and submit actions"


class _EndedError(Exception):
    """The command ends here, with a text and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


# What each command does


def check(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:  # noqa: ARG001
    """Say whether the connection works: ``GET /v1/apps`` and ``GET /v1/build-flows``."""
    from airflow_provider_daocloud.api.openapi.apps import list_apps

    works, message = hook.test_connection()
    if not works:
        code: int | None = SAYS_NO
        try:
            hook.observe(list_apps())
        except DaoCloudError as e:
            code = exit_code(e)
        raise _EndedError(message, code or SAYS_NO)
    return [{"conn_id": hook.daocloud_conn_id, "works": works, "message": message}]


def apps(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:  # noqa: ARG001
    """List the apps: ``GET /v1/apps``."""
    columns = ("id", "name", "state", "release_name", "last_operated_at")
    return [_only(app.as_dict(), columns) for app in hook.list_apps()]


def build_flows(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:  # noqa: ARG001
    """List the build flows: ``GET /v1/build-flows``."""
    columns = ("id", "name", "status", "package_id", "repo")
    return [_only(flow.as_dict(), columns) for flow in hook.list_build_flows()]


def stacks(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:  # noqa: ARG001
    """List the stacks: ``GET /v1/stacks``."""
    columns = ("id", "name", "last_operated_at", "created_at")
    return [_only(stack.as_dict(), columns) for stack in hook.list_stacks()]


def app(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Show one app: ``GET /v1/apps/{id}``."""
    found = hook.get_app(args.app_id)
    shown = found.as_dict()
    if found.config is not None:
        shown["instances"] = found.config.instances
        shown["expose_ports"] = list(found.config.expose_ports)
        if found.config.host_ports:
            shown["host_ports"] = list(found.config.host_ports)
        shown["command"] = found.config.command
    return [shown]


def stack(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Show one stack: ``GET /v1/stacks/{id}``."""
    return [hook.get_stack(args.stack_id).as_dict()]


def action(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Show one action, or wait for it: ``GET /v1/apps/{id}/actions/{action_id}``."""
    if args.wait:
        return _wait_for_action(args, hook, args.action_id)
    return [hook.get_action(args.app_id, args.action_id).as_dict()]


def redeploy(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Redeploy an app: ``POST /v1/apps/{id}/actions/redeploy``."""
    return _submission(args, hook, lambda: hook.redeploy_app(args.app_id, args.release_name))


def rollback(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Redeploy an earlier release of an app: ``POST /v1/apps/{id}/actions/redeploy``."""
    if args.wait:
        _check_times(args)
    release = checked("--to", args.to)
    found = hook.get_app(args.app_id)
    _say(
        f"App {found.name or found.id} runs release {found.release_name}. Going back to {release}."
    )
    return _submission(args, hook, lambda: hook.redeploy_app(args.app_id, release))


def start(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Start an app: ``POST /v1/apps/{id}/actions/start``."""
    return _submission(args, hook, lambda: hook.start_app(args.app_id))


def stop(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Stop an app: ``POST /v1/apps/{id}/actions/stop``."""
    return _submission(args, hook, lambda: hook.stop_app(args.app_id))


def restart(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Restart an app: ``POST /v1/apps/{id}/actions/restart``."""
    return _submission(args, hook, lambda: hook.restart_app(args.app_id))


def build(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Start a build of a branch: ``POST /v1/build-flows/{id}/builds``."""
    flow = args.build_flow_id
    started = _post(args, lambda: hook.start_build(flow, args.branch), "build-flows")
    if args.wait:
        _say(f"DaoCloud has started it: build {started.id} of build flow {flow}.")
        return _wait_for_build(args, hook, started.id)
    return [{"build_flow_id": flow, **started.as_dict()}]


def build_show(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Show one build, or wait for it: ``GET /v1/build-flows/{id}/builds/{build_id}``."""
    if args.wait:
        return _wait_for_build(args, hook, args.build_id)
    found = hook.get_build(args.build_flow_id, args.build_id)
    return [{"build_flow_id": args.build_flow_id, **found.as_dict()}]


def stack_start(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Start a stack: ``POST /v1/stacks/{id}/actions/start``."""
    return _act_on_stack(args, hook, hook.start_stack)


def stack_stop(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Stop a stack: ``POST /v1/stacks/{id}/actions/stop``."""
    return _act_on_stack(args, hook, hook.stop_stack)


def stack_restart(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Restart a stack: ``POST /v1/stacks/{id}/actions/restart``."""
    return _act_on_stack(args, hook, hook.restart_stack)


def stack_action(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
    """Show one action on a stack, or wait for it: ``GET /v1/stacks/{id}/actions/{action_id}``."""
    if args.wait:
        return _wait_for_stack_action(args, hook, args.action_id)
    return [hook.get_stack_action(args.stack_id, args.action_id).as_dict()]


def _act_on_stack(args: argparse.Namespace, hook: DaoCloudHook, post: Callable[[str], str]) -> Rows:
    stack_id = args.stack_id
    action_id = _post(args, lambda: post(stack_id), f"stack {stack_id}")
    if args.wait:
        _say(f"DaoCloud has accepted it: action {action_id} of stack {stack_id}.")
        return _wait_for_stack_action(args, hook, action_id)
    return [{"stack_id": stack_id, "action_id": action_id}]


def _submission(args: argparse.Namespace, hook: DaoCloudHook, post: Callable[[], str]) -> Rows:
    action_id = _post(args, post, f"app {args.app_id}")
    if args.wait:
        _say(f"DaoCloud has accepted it: action {action_id} of app {args.app_id}.")
        return _wait_for_action(args, hook, action_id)
    return [{"app_id": args.app_id, "action_id": action_id}]


def _post(args: argparse.Namespace, post: Callable[[], T], shown_by: str) -> T:
    if args.wait:
        _check_times(args)
    try:
        return post()
    except KeyboardInterrupt:
        raise _EndedError(
            f"Stopped while it was being sent: it may or may not have been taken. "
            f"See what `{shown_by}` shows before you send it again.",
            STOPPED,
        ) from None


def _wait_for_action(args: argparse.Namespace, hook: DaoCloudHook, action_id: str) -> Rows:
    from airflow_provider_daocloud.resources.openapi.app import ActionWait

    again = f"Wait for it again with `action {args.app_id} {action_id} --wait`."
    return _wait(args, hook, ActionWait(args.app_id, action_id), again)


def _wait_for_build(args: argparse.Namespace, hook: DaoCloudHook, build_id: str) -> Rows:
    from airflow_provider_daocloud.resources.openapi.build_flow import BuildWait

    again = f"Wait for it again with `build-show {args.build_flow_id} {build_id} --wait`."
    return _wait(args, hook, BuildWait(args.build_flow_id, build_id), again)


def _wait_for_stack_action(args: argparse.Namespace, hook: DaoCloudHook, action_id: str) -> Rows:
    from airflow_provider_daocloud.resources.openapi.stack import StackActionWait

    again = f"Wait for it again with `stack-action {args.stack_id} {action_id} --wait`."
    return _wait(args, hook, StackActionWait(args.stack_id, action_id), again)


def _wait(args: argparse.Namespace, hook: DaoCloudHook, wait: Wait, again: str) -> Rows:
    from airflow_provider_daocloud.core.waiting.blocking import block

    with _progress() as (show, log):

        def observe(request: Any, *, within: float) -> Any:
            try:
                seen = hook.observe(request, within=within)
            except CallError as e:
                show(f"cannot be read ({e})")
                raise
            show(wait.judge(seen, {}).state)
            return seen

        try:
            ended = block(wait, observe, log=log, **_check_times(args))
        except KeyboardInterrupt:
            raise _EndedError(
                f"Stopped waiting. The {wait} continues: DaoCloud cannot cancel it. {again}",
                STOPPED,
            ) from None
    return [ended.result]


def _check_times(args: argparse.Namespace) -> dict[str, Any]:
    from airflow_provider_daocloud.api.validation import check_seconds

    times = {
        "timeout": check_seconds("--timeout", args.timeout),
        "poll_interval": check_seconds("--poll-interval", args.poll_interval),
        "max_outage": check_seconds("--max-outage", args.max_outage, zero=True),
    }
    if times["timeout"] < times["poll_interval"]:
        raise InputError("--timeout", "must not be shorter than --poll-interval.")
    return times


# What all commands have in common


def exit_code(error: Exception) -> int | None:
    """Return the exit code that an error stands for, or None for one that is not ours.

    :param error: what a command ended with.
    """
    from airflow_provider_daocloud.compat import AirflowNotFoundException

    if isinstance(error, _EndedError):
        return error.code
    if isinstance(error, NameMatchError):
        return SAYS_NO
    if isinstance(error, (InputError, AirflowNotFoundException)):
        return UNUSABLE
    if isinstance(error, WaitTimeoutError):
        return TIME_IS_UP
    refused = (AuthenticationError, NotFoundError, RefusedError)
    if isinstance(error, (ActionFailedError, BuildFailedError, *refused)):
        return SAYS_NO
    return UNKNOWN if isinstance(error, DaoCloudError) else None


def _command(run: Run) -> Callable[[argparse.Namespace], None]:
    def command(args: argparse.Namespace) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        code = _run(run, args)
        for stream in (sys.stdout, sys.stderr):  # or Python would do it, and exit with 120
            with _writing_to(stream):
                pass
        sys.exit(code)

    command.__name__, command.__doc__ = run.__name__, run.__doc__
    return command


def _run(run: Run, args: argparse.Namespace) -> int:
    from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook

    # Airflow's own connection commands do the same: connections of the database are found, too.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        with _logs_on_stderr(), closing(DaoCloudHook(args.conn_id)) as hook:
            hook.get_conn().retry_timeout = RETRY_TIMEOUT
            if getattr(args, "name", False):
                _find(args, hook)
            rows = run(args, hook)
    except KeyboardInterrupt:
        _say("Stopped.")
        return STOPPED
    except Exception as e:
        code = exit_code(e)
        if code is None:
            raise
        if isinstance(e, WaitError) and e.observed:
            _print([e.observed], args.output, single=True)
        _say(str(e))
        return code
    _print(rows, args.output, single=run not in (apps, build_flows, stacks))
    return DONE


def _find(args: argparse.Namespace, hook: DaoCloudHook) -> None:
    """Put the id in the place of the name that was given."""
    finders: dict[str, Callable[[str], Any]] = {
        "app_id": hook.find_app,
        "build_flow_id": hook.find_build_flow,
        "stack_id": hook.find_stack,
    }
    for field, find in finders.items():
        if hasattr(args, field):
            name = getattr(args, field)
            setattr(args, field, find(name).id)
            _say(f"{name!r} is {getattr(args, field)}.")


def _print(rows: Rows, output: str, *, single: bool) -> None:
    from airflow.cli.simple_table import AirflowConsole
    from rich.markup import escape

    if single and output in ("table", "plain"):
        rows = [{"field": key, "value": value} for row in rows for key, value in row.items()]
    if output == "table":  # a name in brackets is no markup
        rows = [
            {key: escape(value) if isinstance(value, str) else value for key, value in row.items()}
            for row in rows
        ]
    with _writing_to(sys.stdout):
        AirflowConsole().print_as(data=rows, output=output)


def _say(text: str) -> None:
    with _writing_to(sys.stderr):
        print(text, file=sys.stderr)  # noqa: T201 - a command talks to its user


@contextmanager
def _writing_to(stream: TextIO | None) -> Iterator[None]:
    """Write, and continue if that fails: the exit code is that of the action."""
    try:
        yield
        if stream is not None:
            stream.flush()
    except (OSError, SystemExit) as e:  # rich makes a SystemExit of a broken pipe
        # What could not be written stays in the buffer, and Python would try once more at its end.
        if stream is not None:
            with suppress(OSError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
        if stream is sys.stdout and not isinstance(e, (BrokenPipeError, SystemExit)):
            _say(f"The result could not be written: {e}")


@contextmanager
def _logs_on_stderr() -> Iterator[None]:
    # Some of Airflow's handlers keep the stream that they began with, others look it up.
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            with suppress(AttributeError):
                handler.setStream(sys.stderr)
    with redirect_stdout(sys.stderr):
        yield


@contextmanager
def _progress() -> Iterator[tuple[Callable[[str], None], Callable[..., None]]]:
    """Yield what shows each observation, and what logs the few that matter.

    On a terminal one line with a running clock is kept up to date; a pipe or a file gets a line for
    each change, and else ever fewer of them.
    """

    def log(text: str, *args: object) -> None:
        _say(text % args)

    def nothing(*_: object) -> None:
        pass

    if sys.stderr is None or not sys.stderr.isatty():
        yield nothing, log
        return

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=None)

        def show(state: str) -> None:
            progress.update(task, description=state)

        yield show, nothing


def _only(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in columns}


# How they are called


def get_daocloud_cli_commands() -> list[Any]:
    """Return the command group, as Airflow 3.2+ asks for it through the provider's metadata."""
    from airflow.cli import cli_config

    Arg: Any = cli_config.Arg  # noqa: N806 - a class, which has no types
    conn_id = Arg(
        ("-c", "--conn-id"),
        default="daocloud_default",
        help="Id of the Connection of type daocloud (default: daocloud_default)",
    )
    app_id = Arg(("app_id",), metavar="APP_ID", help="Id of the app, as `apps` lists it")
    stack_id = Arg(("stack_id",), metavar="STACK_ID", help="Id of the stack, as `stacks` lists it")
    by_name = Arg(("-n", "--name"), action="store_true", help="The id is a name instead")
    waiting = (
        Arg(("-w", "--wait"), action="store_true", help="Wait until it has succeeded"),
        Arg(
            ("--timeout",),
            type=float,
            default=3600.0,
            metavar="SECONDS",
            help="How long to wait; a final poll is made then (default: 3600)",
        ),
        Arg(
            ("--poll-interval",),
            type=float,
            default=10.0,
            metavar="SECONDS",
            help="Seconds between two observations at most; the first come sooner (default: 10)",
        ),
        Arg(
            ("--max-outage",),
            type=float,
            default=600.0,
            metavar="SECONDS",
            help="For how long DaoCloud may be unreadable (default: 600)",
        ),
    )

    def command(name: str, text: str, run: Run, *args: Any) -> Any:
        named = any(arg in (app_id, flow_id, stack_id) for arg in args)
        every = (*([by_name] if named else []), conn_id, cli_config.ARG_OUTPUT)
        return cli_config.ActionCommand(name, text, _command(run), (*args, *every))

    release = Arg(
        ("release_name",), metavar="RELEASE", help="Release (image tag); the current one is allowed"
    )
    back_to = Arg(
        ("--to",), metavar="RELEASE", required=True, help="Release (image tag) to go back to"
    )
    flow_id = Arg(
        ("build_flow_id",),
        metavar="FLOW_ID",
        help="Id of the build flow, as `build-flows` lists it",
    )
    branch = Arg(("branch",), metavar="BRANCH", help="Branch to build")
    action_id = Arg(("action_id",), metavar="ACTION_ID", help="Id of the action")
    build_id = Arg(("build_id",), metavar="BUILD_ID", help="Id of the build")
    commands = (
        command("check", "Say whether the connection works", check),
        command("apps", "List the apps", apps),
        command("build-flows", "List the build flows", build_flows),
        command("app", "Show one app", app, app_id),
        command("action", "Show one action, or wait for it", action, app_id, action_id, *waiting),
        command("redeploy", "Redeploy an app to a release", redeploy, app_id, release, *waiting),
        command(
            "rollback", "Redeploy an earlier release of an app", rollback, app_id, back_to, *waiting
        ),
        command("start", "Start an app", start, app_id, *waiting),
        command("stop", "Stop an app", stop, app_id, *waiting),
        command("restart", "Restart an app", restart, app_id, *waiting),
        command("build", "Start a build of a branch", build, flow_id, branch, *waiting),
        command(
            "build-show", "Show one build, or wait for it", build_show, flow_id, build_id, *waiting
        ),
        command("stacks", "List the stacks", stacks),
        command("stack", "Show one stack", stack, stack_id),
        command(
            "stack-action",
            "Show one action on a stack, or wait for it",
            stack_action,
            stack_id,
            action_id,
            *waiting,
        ),
        command("stack-start", "Start a stack", stack_start, stack_id, *waiting),
        command("stack-stop", "Stop a stack", stack_stop, stack_id, *waiting),
        command("stack-restart", "Restart a stack", stack_restart, stack_id, *waiting),
    )
    description = (
        f"{SUMMARY}. Exit codes: 0 done; 1 DaoCloud says no; 2 unusable input; "
        "3 outage, or outcome unknown; 4 the time is up; 130 Ctrl-C."
    )
    return [cli_config.GroupCommand("daocloud", SUMMARY, commands, description)]


def main(argv: list[str] | None = None) -> None:
    """Run a command, and exit with its code.

    :param argv: the arguments; those of this process if not given.
    """
    (group,) = get_daocloud_cli_commands()
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_daocloud", description=group.description
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in group.subcommands:
        one = commands.add_parser(command.name, help=command.help, description=command.help)
        for arg in command.args:
            arg.add_to_parser(one)
        one.set_defaults(func=command.func)
    args = parser.parse_args(argv)
    args.func(args)
