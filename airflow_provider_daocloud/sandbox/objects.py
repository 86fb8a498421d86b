"""The records that a world holds, and the plans that can be made for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from airflow_provider_daocloud.sandbox.options import check_fields, encodable

ACTIONS = ("start", "stop", "restart", "redeploy")
STACK_ACTIONS = ("start", "stop", "restart")
ACTION_ENDS = ("SUCCESS", "FAILED")
BUILD_ENDS = ("Success", "Failure", "Error", "Cancelled", "Timeout")
BUILD_STATES = ("Pending", "Started", *BUILD_ENDS)
APP_STATES = (
    "RUNNING",
    "STOPPED",
    "NOT_RUNNING",
    "RESTAGING",
    "STARTING",
    "STOPPING",
    "PENDING",
    "SLEEPING",
)


@dataclass
class Account:
    """One access token and what is left of its hour."""

    name: str
    token: str = field(repr=False)
    read_only: bool = False
    revoked: bool = False
    used: int = 0
    window_end: float = -math.inf


@dataclass
class Action:
    """An operation on an app or a stack, from its acceptance to its end."""

    id: str
    action: str
    accepted_at: float
    outcome: str
    app_id: str | None = None
    stack_id: str | None = None
    message: str | None = None
    release_name: str | None = None
    by: str = "api"
    seconds: float | None = None
    polls: int | None = None
    reads: int = 0
    state: str = "IN_PROCESS"
    begun_at: float | None = None
    ended_at: float | None = None
    leaves: str | None = None


@dataclass
class ActionPlan:
    """What the next matching actions are going to do.

    :param state: how they end, ``SUCCESS`` or ``FAILED``.
    :param message: what a failed one says.
    :param seconds: how long they take (divided by the world's speed); the world's own if missing.
    :param polls: end after this many reads instead of after a time.
    :param by_hand: never end by themselves.
    :param leaves: the state that they leave the app in, whatever they say: a ``SUCCESS`` that
        leaves it ``NOT_RUNNING`` is not the whole truth.
    :param app_id: for this app only.
    :param stack_id: for this stack only.
    :param action: for ``start``, ``stop``, ``restart`` or ``redeploy`` only.
    :param times: for so many actions; ``None`` for all from now on.
    """

    state: str = "SUCCESS"
    message: str | None = None
    seconds: float | None = None
    polls: int | None = None
    by_hand: bool = False
    leaves: str | None = None
    app_id: str | None = None
    stack_id: str | None = None
    action: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        one_of("state", self.state, ACTION_ENDS)
        if self.action is not None:
            one_of("action", self.action, ACTIONS)
        if self.leaves is not None:
            one_of("leaves", self.leaves, APP_STATES)
        check_fields(self)
        if self.times == 0:
            raise ValueError("times is one or more")


@dataclass
class BuildPlan:
    """What a build is going to do.

    :param outcome: how it ends.
    :param pending_seconds: how long it is ``Pending`` (divided by the world's speed); the world's
        own if missing.
    :param seconds: how long it then is ``Started``, likewise.
    :param polls: move with the reads of the flow or the build instead of with time: ``Pending`` at
        the first, then ``Started``, ended after so many.
    :param by_hand: stay ``Pending`` until it is ended by hand.
    :param branch: what is built; a client's POST names its own.
    :param tag: the image tag that it makes; made from branch and commit if missing.
    :param author: who started it.
    :param build_flow_id: where it is planned for the next builds: for this flow's only.
    :param times: likewise, for so many builds; ``None`` for all from now on.
    """

    outcome: str = "Success"
    pending_seconds: float | None = None
    seconds: float | None = None
    polls: int | None = None
    by_hand: bool = False
    branch: str = "master"
    tag: str | None = None
    author: str = "sandbox"
    build_flow_id: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        one_of("outcome", self.outcome, BUILD_ENDS)
        check_fields(self)
        if self.times == 0:
            raise ValueError("times is one or more")


@dataclass(frozen=True)
class AppView:
    """An app as a client sees it now."""

    id: str
    name: str
    state: str
    release_name: str
    package_id: str
    image: str
    runtime_name: str
    runtime_display_name: str
    runtime_id: str
    enable_auto_redeploy: bool
    created_at: float
    last_operated_at: float
    instances: int
    expose_port: int
    command: str | None


@dataclass(kw_only=True)
class Resource:
    """What actions run on.

    An action accepted is ``coming`` (it begins by itself), ``running``, or ``queued`` behind
    another one.
    """

    id: str
    name: str
    created_at: float
    last_operated_at: float
    coming: list[Action] = field(default_factory=list)
    running: list[Action] = field(default_factory=list)
    queued: list[Action] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_fields(self, leave_out=("coming", "running", "queued", "view", "listed"))


@dataclass(kw_only=True)
class Stack(Resource):
    """A stack. It shows no state of its own."""

    stack_ids: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class App(Resource):
    """An app. ``rest_state`` is its state while no action runs on it."""

    rest_state: str
    release_name: str
    package_id: str
    image: str
    runtime_name: str = "S0"
    runtime_display_name: str = "自有集群"
    enable_auto_redeploy: bool = True
    instances: int = 1
    expose_port: int = 80
    command: str | None = None
    view: AppView | None = None
    listed: list[tuple[float, AppView]] = field(default_factory=list)

    def __post_init__(self) -> None:
        one_of("state", self.rest_state, APP_STATES)
        super().__post_init__()


@dataclass
class Build:
    """One build of a flow."""

    id: int
    build_flow_id: str
    created_at: float
    outcome: str
    ref: str
    sha: str
    tag: str
    author: str
    status: str = "Pending"
    polls: int | None = None
    reads: int = 0
    ended_at: float | None = None


@dataclass
class BuildFlow:
    """A build flow; its status is that of its latest build."""

    id: str
    name: str
    repo: str
    src_language: str
    src_provider: str
    src_origin_url: str
    status: str
    package_id: str
    created_at: float
    builds: dict[int, Build] = field(default_factory=dict)

    def __post_init__(self) -> None:
        one_of("status", self.status, BUILD_STATES)
        check_fields(self, leave_out=("builds",))


def one_of(name: str, value: object, known: tuple[str, ...]) -> str:
    """Return a value that is one of those known; a ``ValueError`` says so if it is not."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
    return value


def text(name: str, value: object) -> str:
    """Return a value that is a string with something in it; a ``ValueError`` if it is not."""
    if not isinstance(value, str) or not value.strip() or not encodable(value):
        raise ValueError(f"{name} is a string with something in it, not {value!r}")
    return value
