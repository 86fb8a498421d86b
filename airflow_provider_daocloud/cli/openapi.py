"""The commands of the Open API: ``airflow daocloud …``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.validation import checked
from airflow_provider_daocloud.cli.common import (
    EXIT_CODES,
    Rows,
    check,
    check_times,
    command,
    only,
    post,
    say,
    wait_for,
    waiting_options,
)

if TYPE_CHECKING:
    import argparse

    from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook

    Run = Callable[[argparse.Namespace, DaoCloudHook], Rows]

SUMMARY = "Show apps, build flows and stacks of DaoCloud, build, and submit actions"

# What each command does


def apps(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:  # noqa: ARG001
    """List the apps: ``GET /v1/apps``."""
    columns = ("id", "name", "state", "release_name", "last_operated_at")
    return [only(app.as_dict(), columns) for app in hook.list_apps()]


def build_flows(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:  # noqa: ARG001
    """List the build flows: ``GET /v1/build-flows``."""
    columns = ("id", "name", "status", "package_id", "repo")
    return [only(flow.as_dict(), columns) for flow in hook.list_build_flows()]


def stacks(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:  # noqa: ARG001
    """List the stacks: ``GET /v1/stacks``."""
    columns = ("id", "name", "last_operated_at", "created_at")
    return [only(stack.as_dict(), columns) for stack in hook.list_stacks()]


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
        check_times(args)
    release = checked("--to", args.to)
    found = hook.get_app(args.app_id)
    say(f"App {found.name or found.id} runs release {found.release_name}. Going back to {release}.")
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
    started = post(args, lambda: hook.start_build(flow, args.branch), "build-flows")
    if args.wait:
        say(f"DaoCloud has started it: build {started.id} of build flow {flow}.")
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


def _act_on_stack(args: argparse.Namespace, hook: DaoCloudHook, act: Callable[[str], str]) -> Rows:
    stack_id = args.stack_id
    action_id = post(args, lambda: act(stack_id), f"stack {stack_id}")
    if args.wait:
        say(f"DaoCloud has accepted it: action {action_id} of stack {stack_id}.")
        return _wait_for_stack_action(args, hook, action_id)
    return [{"stack_id": stack_id, "action_id": action_id}]


def _submission(args: argparse.Namespace, hook: DaoCloudHook, send: Callable[[], str]) -> Rows:
    action_id = post(args, send, f"app {args.app_id}")
    if args.wait:
        say(f"DaoCloud has accepted it: action {action_id} of app {args.app_id}.")
        return _wait_for_action(args, hook, action_id)
    return [{"app_id": args.app_id, "action_id": action_id}]


def _wait_for_action(args: argparse.Namespace, hook: DaoCloudHook, action_id: str) -> Rows:
    from airflow_provider_daocloud.resources.openapi.app import ActionWait

    again = _again(f"action {args.app_id} {action_id}")
    return wait_for(args, hook, ActionWait(args.app_id, action_id), again)


def _wait_for_build(args: argparse.Namespace, hook: DaoCloudHook, build_id: str) -> Rows:
    from airflow_provider_daocloud.resources.openapi.build_flow import BuildWait

    again = _again(f"build-show {args.build_flow_id} {build_id}")
    return wait_for(args, hook, BuildWait(args.build_flow_id, build_id), again)


def _wait_for_stack_action(args: argparse.Namespace, hook: DaoCloudHook, action_id: str) -> Rows:
    from airflow_provider_daocloud.resources.openapi.stack import StackActionWait

    again = _again(f"stack-action {args.stack_id} {action_id}")
    return wait_for(args, hook, StackActionWait(args.stack_id, action_id), again)


def _again(shown_by: str) -> str:
    return f"DaoCloud cannot cancel it. Wait for it again with `{shown_by} --wait`."


def _with_ids(run: Run) -> Run:
    """Return what finds the id of a name, if one was given, and then does the same."""

    def found(args: argparse.Namespace, hook: DaoCloudHook) -> Rows:
        if getattr(args, "name", False):
            _find(args, hook)
        return run(args, hook)

    found.__name__, found.__doc__ = run.__name__, run.__doc__
    return found


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
            say(f"{name!r} is {getattr(args, field)}.")


def _hook_class() -> type[DaoCloudHook]:
    from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook

    return DaoCloudHook


# How they are called


def group() -> Any:
    """Return the command group."""
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
    waiting = waiting_options()

    def one(name: str, text: str, run: Run, *args: Any, is_list: bool = False) -> Any:
        named = any(arg in (app_id, flow_id, stack_id) for arg in args)
        every = (*([by_name] if named else []), conn_id, cli_config.ARG_OUTPUT)
        call = command(_with_ids(run), _hook_class, is_list=is_list)
        return cli_config.ActionCommand(name, text, call, (*args, *every))

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
        one("check", "Say whether the connection works", check),
        one("apps", "List the apps", apps, is_list=True),
        one("build-flows", "List the build flows", build_flows, is_list=True),
        one("app", "Show one app", app, app_id),
        one("action", "Show one action, or wait for it", action, app_id, action_id, *waiting),
        one("redeploy", "Redeploy an app to a release", redeploy, app_id, release, *waiting),
        one(
            "rollback", "Redeploy an earlier release of an app", rollback, app_id, back_to, *waiting
        ),
        one("start", "Start an app", start, app_id, *waiting),
        one("stop", "Stop an app", stop, app_id, *waiting),
        one("restart", "Restart an app", restart, app_id, *waiting),
        one("build", "Start a build of a branch", build, flow_id, branch, *waiting),
        one(
            "build-show", "Show one build, or wait for it", build_show, flow_id, build_id, *waiting
        ),
        one("stacks", "List the stacks", stacks, is_list=True),
        one("stack", "Show one stack", stack, stack_id),
        one(
            "stack-action",
            "Show one action on a stack, or wait for it",
            stack_action,
            stack_id,
            action_id,
            *waiting,
        ),
        one("stack-start", "Start a stack", stack_start, stack_id, *waiting),
        one("stack-stop", "Stop a stack", stack_stop, stack_id, *waiting),
        one("stack-restart", "Restart a stack", stack_restart, stack_id, *waiting),
    )
    return cli_config.GroupCommand("daocloud", SUMMARY, commands, f"{SUMMARY}. {EXIT_CODES}")
