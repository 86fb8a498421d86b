"""What all commands have in common: how they run, wait, print and exit."""

from __future__ import annotations

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
    PipelineRunFailedError,
    RefusedError,
    WaitError,
    WaitTimeoutError,
    WorkloadFailedError,
)

if TYPE_CHECKING:
    import argparse

    from airflow_provider_daocloud.core.waiting.wait import Wait
    from airflow_provider_daocloud.hooks.base import DaoCloudBaseHook

Rows = list[dict[str, Any]]
T = TypeVar("T")

# For how long one call may be retried, in seconds: a person is waiting.
RETRY_TIMEOUT = 15.0

DONE, SAYS_NO, UNUSABLE, UNKNOWN, TIME_IS_UP, STOPPED = 0, 1, 2, 3, 4, 130
EXIT_CODES = (
    "Exit codes: 0 done; 1 DaoCloud says no; 2 unusable input; 3 outage, or outcome unknown; "
    "4 the time is up; 130 Ctrl-C."
)


class _EndedError(Exception):
    """The command ends here, with a text and an exit code."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def check(args: argparse.Namespace, hook: DaoCloudBaseHook) -> Rows:  # noqa: ARG001
    """Say whether the connection works."""
    works, message = hook.test_connection()
    if not works:
        code: int | None = SAYS_NO
        try:
            hook.check(hook.get_conn())
        except DaoCloudError as e:
            code = exit_code(e)
        raise _EndedError(message, code or SAYS_NO)
    return [{"conn_id": hook.daocloud_conn_id, "works": works, "message": message}]


def post(args: argparse.Namespace, send: Callable[[], T], shown_by: str) -> T:
    """Send what changes something, and say what to do if that is interrupted.

    :param args: the arguments; if they say to wait, those of the wait are checked first.
    :param send: sends it.
    :param shown_by: the command that shows whether it has arrived.
    :raises Exception: it was interrupted; the command then ends with 130.
    """
    if args.wait:
        check_times(args)
    try:
        return send()
    except KeyboardInterrupt:
        raise _EndedError(
            f"Stopped while it was being sent: it may or may not have been taken. "
            f"See what `{shown_by}` shows before you send it again.",
            STOPPED,
        ) from None


def wait_for(
    args: argparse.Namespace,
    hook: DaoCloudBaseHook,
    wait: Wait,
    again: str,
    *,
    causes: Callable[[Wait], list[str]] = lambda wait: [],  # noqa: ARG005
) -> Rows:
    """Wait, and return the result.

    :param args: the arguments.
    :param hook: observes.
    :param wait: what to wait for.
    :param again: what to do after Ctrl-C.
    :param causes: why it has failed, as far as that can be found out.
    :raises Exception: it was interrupted; the command then ends with 130.
    :raises WaitError: it ended in another way than it should.
    """
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
            ended = block(wait, observe, log=log, **check_times(args))
        except KeyboardInterrupt:
            raise _EndedError(f"Stopped waiting. The {wait} continues: {again}", STOPPED) from None
        except WaitError:
            for cause in causes(wait):
                say(cause)
            raise
    return [ended.result]


def check_times(args: argparse.Namespace) -> dict[str, Any]:
    """Return how to wait, by the arguments.

    :param args: the arguments.
    :raises InputError: one of them is unusable.
    """
    from airflow_provider_daocloud.api.validation import check_seconds

    times = {
        "timeout": check_seconds("--timeout", args.timeout),
        "poll_interval": check_seconds("--poll-interval", args.poll_interval),
        "max_outage": check_seconds("--max-outage", args.max_outage, zero=True),
    }
    if times["timeout"] < times["poll_interval"]:
        raise InputError("--timeout", "must not be shorter than --poll-interval.")
    return times


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
    failed = (ActionFailedError, BuildFailedError, PipelineRunFailedError, WorkloadFailedError)
    if isinstance(error, (*failed, *refused)):
        return SAYS_NO
    return UNKNOWN if isinstance(error, DaoCloudError) else None


def command(
    run: Callable[[argparse.Namespace, Any], Rows],
    hook_class: Callable[[], type[DaoCloudBaseHook]],
    *,
    is_list: bool,
) -> Callable[[argparse.Namespace], None]:
    """Return what Airflow calls for a command.

    :param run: what it does; returns what it prints.
    :param hook_class: returns the class of its hook.
    :param is_list: whether it prints any number of rows, and not one.
    """

    def call(args: argparse.Namespace) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        code = _run(run, args, hook_class, is_list=is_list)
        for stream in (sys.stdout, sys.stderr):  # or Python would do it, and exit with 120
            with _writing_to(stream):
                pass
        sys.exit(code)

    call.__name__, call.__doc__ = run.__name__, run.__doc__
    return call


def _run(
    run: Callable[[argparse.Namespace, Any], Rows],
    args: argparse.Namespace,
    hook_class: Callable[[], type[DaoCloudBaseHook]],
    *,
    is_list: bool,
) -> int:
    # Airflow's own connection commands do the same: connections of the database are found, too.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        with _logs_on_stderr(), closing(hook_class()(args.conn_id)) as hook:
            hook.get_conn().retry_timeout = RETRY_TIMEOUT
            rows = run(args, hook)
    except KeyboardInterrupt:
        say("Stopped.")
        return STOPPED
    except Exception as e:
        code = exit_code(e)
        if code is None:
            raise
        if isinstance(e, WaitError) and e.observed:
            _print([e.observed], args.output, single=True)
        say(str(e))
        return code
    _print(rows, args.output, single=not is_list)
    return DONE


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


def say(text: str) -> None:
    """Say something to the person, on the standard error.

    :param text: what to say.
    """
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
            say(f"The result could not be written: {e}")


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
        say(text % args)

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


def only(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    """Return some of a row.

    :param row: all of it.
    :param columns: which of it.
    """
    return {name: row[name] for name in columns}


def waiting_options() -> tuple[Any, ...]:
    """Return the options of commands that can wait."""
    from airflow.cli import cli_config

    Arg: Any = cli_config.Arg  # noqa: N806 - a class, which has no types
    return (
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
