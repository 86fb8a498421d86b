"""The commands of DaoCloud Enterprise: ``airflow daocloud-enterprise …``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.parsing import ShapeError
from airflow_provider_daocloud.api.validation import whole_number
from airflow_provider_daocloud.cli.common import (
    EXIT_CODES,
    Rows,
    check,
    command,
    only,
    post,
    say,
    wait_for,
    waiting_options,
)

if TYPE_CHECKING:
    import argparse

    from airflow_provider_daocloud.api.enterprise.pipelines import PipelineRef
    from airflow_provider_daocloud.api.enterprise.workloads import Workload, WorkloadRef
    from airflow_provider_daocloud.core.waiting.wait import Wait
    from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook

    Run = Callable[[argparse.Namespace, DaoCloudEnterpriseHook], Rows]

SUMMARY = "Show workloads and pipelines of DaoCloud Enterprise, deploy, and run pipelines"


# What each command does


def workspaces(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:  # noqa: ARG001
    """List the workspaces: ``GET …/workspaces``."""
    return [one.as_dict() for one in hook.list_workspaces()]


def workloads(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """List the workloads of a namespace: ``GET …/{kind}s``."""
    from airflow_provider_daocloud.api.enterprise.workloads import Workload

    listed = hook.list_workloads(args.kind, cluster=args.cluster, namespace=args.namespace)
    rows = []
    for item in listed:
        try:
            rows.append(_shown(Workload.parse(args.kind, item)))
        except ShapeError:  # the lists of some versions have less of each
            rows.append({"name": str(item.get("metadata", {}).get("name"))})
    return rows


def workload(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Show one workload, or wait until it is rolled out: ``GET …/{kind}s/{name}/json``."""
    ref = _ref(args, hook)
    if args.wait:
        return _wait_for_workload(args, hook, ref)
    return [_shown(hook.get_workload(ref))]


def deploy(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Give containers of a workload another image: ``PATCH …/{kind}s/{name}``."""
    from airflow_provider_daocloud.api.enterprise.changes import resolved_images, wanted_images

    wanted = wanted_images(args.image, None, args.tag, args.container)
    ref = _ref(args, hook)
    before = hook.get_workload(ref)
    resolved_images(wanted, before)  # checks it before anything is said
    say(f"{ref.name} runs {_images(before)}.")
    changed = post(args, lambda: hook.deploy_workload(ref, wanted), f"workload {ref.name}")
    return _after_change(args, hook, ref, changed, images=wanted)


def scale(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Let a workload have some number of pods: ``PATCH …/{kind}s/{name}``."""
    pods = whole_number("replicas", args.replicas)
    ref = _ref(args, hook)
    changed = post(args, lambda: hook.scale_workload(ref, pods), f"workload {ref.name}")
    return _after_change(args, hook, ref, changed, replicas=pods)


def restart(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Replace the pods of a workload one by one: ``PATCH …/{kind}s/{name}``."""
    ref = _ref(args, hook)
    changed = post(args, lambda: hook.restart_workload(ref), f"workload {ref.name}")
    return _after_change(args, hook, ref, changed)


def start(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Give a stopped workload the pods that it had: ``POST …/{kind}s/{name}:start``."""
    return _act(args, hook, hook.start_workload, "started")


def stop(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Take the pods of a workload away: ``POST …/{kind}s/{name}:stop``."""
    return _act(args, hook, hook.stop_workload, "stopped")


def pipelines(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """List the pipelines of a workspace: ``GET …/workspaces/{workspace}/pipelines``."""
    return [{"name": one.name} for one in hook.list_pipelines(args.workspace)]


def pipeline(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Show the parameters of a pipeline: ``GET …/pipelines/{name}``."""
    return [
        asdict(one) | ({"default": "***"} if one.type == "PASSWORD" else {})
        for one in hook.get_pipeline(_pipeline(args, hook)).parameters
    ]


def runs(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """List the newest runs of a pipeline: ``GET …/pipelines/{name}/runs``."""
    columns = ("run_id", "state", "started_by", "started_at", "duration_seconds")
    return [only(one.as_dict(), columns) for one in hook.list_runs(_pipeline(args, hook))]


def run(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Run a pipeline: ``POST /api/…/pipelines/runs/{pipeline}``."""
    given = dict(_pair(text) for text in args.parameter or ())
    ref = _pipeline(args, hook)
    started = post(args, lambda: hook.start_run(ref, given), f"runs {ref.name}")
    if args.wait:
        say(f"DaoCloud has started it: run {started.run_id} of pipeline {ref.name}.")
        return _wait_for_run(args, hook, ref, started.run_id)
    return [started.as_dict()]


def run_show(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Show one run, or wait for it: ``GET …/runs/{runId}``."""
    ref = _pipeline(args, hook)
    if args.wait:
        return _wait_for_run(args, hook, ref, args.run_id)
    return [hook.get_run(ref, args.run_id).as_dict()]


def run_log(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Show the log of a run: ``GET …/runs/{runId}/log``."""
    log = hook.get_run_log(_pipeline(args, hook), args.run_id)
    return [{"line": line} for line in log.splitlines()]


def run_inputs(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """List what a paused run asks: ``GET …/nodes/{nodeId}/steps``."""
    return [asdict(one) for one in hook.list_inputs(_pipeline(args, hook), args.run_id)]


def run_cancel(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Cancel a run: ``POST …/runs/{runId}:cancel``."""
    ref = _pipeline(args, hook)
    hook.cancel_run(ref, args.run_id)
    return [{"pipeline": ref.name, "run_id": args.run_id, "cancelled": True}]


def _answer(args: argparse.Namespace, hook: DaoCloudEnterpriseHook, *, approve: bool) -> Rows:
    ref = _pipeline(args, hook)
    hook.answer_input(ref, args.run_id, approve=approve, message=args.message)
    return [{"pipeline": ref.name, "run_id": args.run_id, "approved": approve}]


def run_approve(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """Let a paused run go on: ``POST …/steps/{stepId}:process``."""
    return _answer(args, hook, approve=True)


def run_abort(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> Rows:
    """End a paused run: ``POST …/steps/{stepId}:abort``."""
    return _answer(args, hook, approve=False)


def _ref(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> WorkloadRef:
    return hook.workload_ref(
        args.workload, kind=args.kind, cluster=args.cluster, namespace=args.namespace
    )


def _pipeline(args: argparse.Namespace, hook: DaoCloudEnterpriseHook) -> PipelineRef:
    return hook.pipeline_ref(args.pipeline, args.workspace)


def _images(seen: Workload) -> str:
    return ", ".join(seen.images.values()) or "nothing"


def _shown(seen: Workload) -> dict[str, Any]:
    from airflow_provider_daocloud.resources.enterprise.rollout import rollout_status

    columns = ("name", "kind", "replicas", "generation")
    return {
        **only(seen.as_dict(), columns),
        "images": _images(seen),
        "rollout": rollout_status(seen).state,
    }


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError("--parameter", f"{text!r} is not of the form NAME=VALUE.")
    return name, value


def _act(
    args: argparse.Namespace,
    hook: DaoCloudEnterpriseHook,
    send: Callable[[WorkloadRef], None],
    target: str,
) -> Rows:
    ref = _ref(args, hook)
    post(args, partial(send, ref), f"workload {ref.name}")
    if args.wait:
        return _wait_for_workload(args, hook, ref, target=target)
    return [{"name": ref.name, "kind": ref.kind, "accepted": True}]


def _after_change(
    args: argparse.Namespace,
    hook: DaoCloudEnterpriseHook,
    ref: WorkloadRef,
    changed: Workload,
    **wanted: Any,
) -> Rows:
    if not args.wait:
        return [_shown(changed)]
    say(f"DaoCloud has accepted it: generation {changed.generation} of {ref.name}.")
    return _wait_for_workload(args, hook, ref, generation=changed.generation, **wanted)


def _wait_for_workload(
    args: argparse.Namespace, hook: DaoCloudEnterpriseHook, ref: WorkloadRef, **wanted: Any
) -> Rows:
    from airflow_provider_daocloud.resources.enterprise.workload import WorkloadWait

    wait = WorkloadWait(ref.cluster, ref.namespace, ref.kind, ref.name, **wanted)
    again = f"Wait for it again with `workload {ref.name} --wait`."
    return wait_for(args, hook, wait, again, causes=_causes(hook))


def _wait_for_run(
    args: argparse.Namespace, hook: DaoCloudEnterpriseHook, ref: PipelineRef, run_id: str
) -> Rows:
    from airflow_provider_daocloud.resources.enterprise.pipeline import PipelineRunWait

    wait = PipelineRunWait.of(ref.workspace_id, ref.name, run_id)
    again = (
        f"Wait for it again with `run-show {ref.name} {run_id} --wait`, or end it with "
        f"`run-cancel {ref.name} {run_id}`."
    )
    return wait_for(args, hook, wait, again, causes=_causes(hook))


def _causes(hook: DaoCloudEnterpriseHook) -> Callable[[Wait], list[str]]:
    from airflow_provider_daocloud.resources.enterprise.causes import causes

    return lambda wait: causes(wait, hook.send)


def _hook_class() -> type[DaoCloudEnterpriseHook]:
    from airflow_provider_daocloud.hooks.enterprise import DaoCloudEnterpriseHook

    return DaoCloudEnterpriseHook


# How they are called


def group() -> Any:
    """Return the command group."""
    from airflow.cli import cli_config

    Arg: Any = cli_config.Arg  # noqa: N806 - a class, which has no types
    conn_id = Arg(
        ("-c", "--conn-id"),
        default="daocloud_enterprise_default",
        help="Id of the Connection of type daocloud_enterprise "
        "(default: daocloud_enterprise_default)",
    )
    kind = Arg(
        ("-k", "--kind"),
        choices=("deployment", "statefulset", "daemonset"),
        default="deployment",
        help="Kind of the workload (default: deployment)",
    )
    place = (
        kind,
        Arg(("--cluster",), help="Cluster (default: the connection's)"),
        Arg(("--namespace",), help="Namespace (default: the connection's)"),
    )
    of_workload = (Arg(("workload",), metavar="WORKLOAD", help="Name of the workload"), *place)
    workspace = Arg(
        ("--workspace",), help="Workspace: its alias or number (default: the connection's)"
    )
    of_pipeline = (Arg(("pipeline",), metavar="PIPELINE", help="Name of the pipeline"), workspace)
    of_run = (
        of_pipeline[0],
        Arg(("run_id",), metavar="RUN_ID", help="Number of the run"),
        workspace,
    )
    image = Arg(("--image",), help="Image with its tag, for one container")
    tag = Arg(("--tag",), help="Tag alone, for the image that it has")
    container = Arg(
        ("--container",), help="Which container (default: the only one, or the workload's namesake)"
    )
    replicas = Arg(("replicas",), metavar="REPLICAS", help="How many pods")
    parameter = Arg(
        ("-p", "--parameter"),
        action="append",
        metavar="NAME=VALUE",
        help="A parameter of the pipeline; can be given several times",
    )
    message = Arg(("--message",), help="What is asked, if the run may ask several things")
    waiting = waiting_options()

    def one(name: str, text: str, run: Run, *args: Any, is_list: bool = False) -> Any:
        call = command(run, _hook_class, is_list=is_list)
        return cli_config.ActionCommand(name, text, call, (*args, conn_id, cli_config.ARG_OUTPUT))

    many = partial(one, is_list=True)
    commands = (
        one("check", "Say whether the connection works", check),
        many("workspaces", "List the workspaces", workspaces),
        many("workloads", "List the workloads of a namespace", workloads, *place),
        one("workload", "Show one workload, or wait for it", workload, *of_workload, *waiting),
        one(
            "deploy",
            "Give a workload another image",
            deploy,
            *of_workload,
            *(image, tag, container),
            *waiting,
        ),
        one(
            "scale",
            "Let a workload have some number of pods",
            scale,
            of_workload[0],
            replicas,
            *place,
            *waiting,
        ),
        one("start", "Start a workload", start, *of_workload, *waiting),
        one("stop", "Stop a workload", stop, *of_workload, *waiting),
        one("restart", "Replace the pods of a workload", restart, *of_workload, *waiting),
        many("pipelines", "List the pipelines of a workspace", pipelines, workspace),
        many("pipeline", "Show the parameters of a pipeline", pipeline, *of_pipeline),
        many("runs", "List the newest runs of a pipeline", runs, *of_pipeline),
        one("run", "Run a pipeline", run, *of_pipeline, parameter, *waiting),
        one("run-show", "Show one run, or wait for it", run_show, *of_run, *waiting),
        many("run-log", "Show the log of a run", run_log, *of_run),
        many("run-inputs", "Show what a paused run asks", run_inputs, *of_run),
        one("run-approve", "Let a paused run go on", run_approve, *of_run, message),
        one("run-abort", "End a paused run", run_abort, *of_run, message),
        one("run-cancel", "Cancel a run", run_cancel, *of_run),
    )
    return cli_config.GroupCommand(
        "daocloud-enterprise", SUMMARY, commands, f"{SUMMARY}. {EXIT_CODES}"
    )
