"""Apps: their actions and states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from airflow_provider_daocloud.api.errors import ActionFailedError, AppStateError, WaitError
from airflow_provider_daocloud.api.openapi.actions import Action, ActionState, get_action
from airflow_provider_daocloud.api.openapi.apps import (
    APP_TRANSITIONAL,
    App,
    AppState,
    get_app,
    list_apps,
    list_apps_unparsed,
)
from airflow_provider_daocloud.api.parsing import to_iso
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import checked
from airflow_provider_daocloud.core.polling.batched import Batched
from airflow_provider_daocloud.core.polling.hinted import Hinted
from airflow_provider_daocloud.core.submission.evidence import Snapshot, Verdict
from airflow_provider_daocloud.core.waiting.wait import Observation, WaitState
from airflow_provider_daocloud.core.waiting.wording import short, titled
from airflow_provider_daocloud.resources.openapi.actions import (
    duration,
    judge_action,
    no_action,
    on_date,
    operated_at,
    operation_would_show,
    was_operated,
)
from airflow_provider_daocloud.resources.openapi.states import parse_words, unknown_state_note
from airflow_provider_daocloud.resources.registry import Resource, register


@dataclass(frozen=True, slots=True)
class ActionWait:
    """Wait until an action has succeeded.

    :param app_id: the app.
    :param action_id: the action, as its POST returned it.
    """

    app_id: str
    action_id: str

    kind: ClassVar[str] = "action"
    failure: ClassVar[type[WaitError]] = ActionFailedError
    lags: ClassVar[bool] = True

    def request(self) -> Request[Action]:
        """``GET /v1/apps/{app_id}/actions/{action_id}``."""
        return get_action(self.app_id, self.action_id)

    def judge(self, seen: Action, wait_state: WaitState) -> Observation:  # noqa: ARG002 - nothing to remember
        """SUCCESS succeeds, FAILED fails with DaoCloud's message, everything else is pending."""
        return judge_action(seen, {"action_id": self.action_id, "app_id": self.app_id})

    @property
    def wanted(self) -> str:
        """The state that is waited for, in words."""
        return ActionState.SUCCESS

    def title(self, name: str | None) -> str:
        """Return what is waited for, as a person calls it.

        :param name: the app's name, if it is known.
        """
        return f"action {short(self.action_id)} of {titled('app', self.app_id, name)}"

    def __str__(self) -> str:
        return f"action {self.action_id} of app {self.app_id}"


@dataclass(frozen=True, slots=True)
class AppWait:
    """Wait until an app shows a state and, if one is given, a release.

    :param app_id: the app.
    :param target_states: the states to wait for.
    :param release_name: the release that the app is to run; None for any.
    :param fail_states: states that end the wait as failed, unless they are what is waited for.
    """

    app_id: str
    target_states: tuple[AppState, ...] = (AppState.RUNNING,)
    release_name: str | None = None
    fail_states: tuple[AppState, ...] = ()

    kind: ClassVar[str] = "app"
    failure: ClassVar[type[WaitError]] = AppStateError
    lags: ClassVar[bool] = False

    @classmethod
    def of(
        cls,
        app_id: str,
        target_states: str | Iterable[str] = ("RUNNING",),
        release_name: str | None = None,
        fail_states: Iterable[str] = (),
        with_release: bool | None = None,
    ) -> AppWait:
        """Return the wait for what a user asked for.

        :param with_release: whether to wait for a release; if not given, whether there is a
            ``release_name``. A template that renders to nothing then is an error, and not any
            release.
        :raises InputError: an argument is unusable.
        """
        if release_name is not None or with_release:
            release_name = checked("release_name", release_name)
        failing = parse_states(fail_states, "fail_states") if fail_states else ()
        return cls(app_id, parse_states(target_states), release_name, failing)

    def request(self) -> Request[App]:
        """``GET /v1/apps/{app_id}``."""
        return get_app(self.app_id)

    def judge(self, seen: App, wait_state: WaitState) -> Observation:  # noqa: ARG002 - nothing to remember
        """Judge the app's state, and the release that it runs if one is waited for."""
        state = seen.state_text or "of no state"
        reached = seen.state in self.target_states
        if self.release_name is not None:
            state += f" with release {seen.release_name}"
            reached = reached and seen.release_name == self.release_name
        result = seen.as_dict()
        if reached:
            return Observation("succeeded", state, result, seen.name)
        if seen.state in self.fail_states:
            problem = f"is {state}, and not {self.wanted}"
            return Observation("failed", state, result, seen.name, problem)
        note = unknown_state_note(seen.state)
        return Observation("pending", state, result, seen.name, note=note)

    @property
    def wanted(self) -> str:
        """The state that is waited for, in words."""
        release = f" with release {self.release_name}" if self.release_name is not None else ""
        return " or ".join(self.target_states) + release

    def title(self, name: str | None) -> str:
        """Return what is waited for, as a person calls it.

        :param name: the app's name, if it is known.
        """
        return titled("app", self.app_id, name)

    def __str__(self) -> str:
        return f"app {self.app_id}"


def parse_states(words: str | Iterable[str], field: str = "target_states") -> tuple[AppState, ...]:
    """Return states of apps from their words, in any letter case.

    :param words: one word, or several.
    :param field: the argument's name, for the error.
    :raises InputError: there is none, or one is not a state of an app.
    """
    return parse_words(field, words, AppState)


# The state in which an action leaves an app.
STATE_AFTER = {
    "start": AppState.RUNNING,
    "stop": AppState.STOPPED,
    "restart": AppState.RUNNING,
    "redeploy": AppState.RUNNING,
}


@dataclass(frozen=True, slots=True)
class AppEvidence:
    """What an app shows of an action: its state, its release, and when it was last operated on.

    :param app_id: the app.
    """

    app_id: str

    def __str__(self) -> str:
        return f"app {self.app_id}"

    def request(self) -> Request[App]:
        """``GET /v1/apps/{app_id}``."""
        return get_app(self.app_id)

    def name_of(self, seen: App) -> str | None:
        """Return its name."""
        return seen.name

    def snapshot(self, seen: App) -> dict[str, Any]:
        """Return state, release and date."""
        return {
            "state": seen.state_text,
            "release_name": seen.release_name,
            "last_operated_at": to_iso(seen.last_operated_at),
        }

    def is_busy(self, seen: App) -> bool:
        """Return whether the app is in a state that passes."""
        return seen.state in APP_TRANSITIONAL

    def can_match(self, record: Mapping[str, Any]) -> bool:
        """Return whether it is no restart: that leaves an app as it was."""
        return _action(record) != "restart"

    def matches(self, record: Mapping[str, Any], seen: App) -> bool:
        """Return whether the app has the release and the state that were asked for."""
        return self.can_match(record) and _is_as_requested(record, self.snapshot(seen))

    def verdict(
        self,
        record: Mapping[str, Any],
        before: Snapshot,
        now: Snapshot,
        *,
        change_seen: bool,
        trust_any: bool,
    ) -> Verdict:
        """Judge by state and release, where these were others before, and by the date."""
        if not change_seen and operation_would_show(before):
            return "absent"
        proves = _was_different(record, before.shown) or (trust_any and was_operated(before, now))
        return "present" if proves and _is_as_requested(record, now.shown) else "unknown"

    def operated_at(self, snapshot: Snapshot) -> float | None:
        """Return the app's ``last_operated_at``."""
        return operated_at(snapshot)

    def release(self, snapshot: Snapshot) -> str | None:
        """Return the release that the app ran."""
        release: str | None = snapshot.shown["release_name"]
        return release

    def receipt_shown(self, record: Mapping[str, Any], seen: App) -> None:
        """Return None: an action leaves no id there."""

    def receipt(self, accepted: str) -> str:
        """Return the action id."""
        return accepted

    def result(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a finished action."""
        return no_action(record) | {"app_id": self.app_id}

    def title(self, name: str | None) -> str:
        """Return the app as a person calls it."""
        return titled("app", self.app_id, name)

    def describe(self, record: Mapping[str, Any], name: str | None) -> str:
        """Return the action in words."""
        release = _release(record)
        return f"{_action(record)} of {self.title(name)}" + (f" to {release}" if release else "")

    def describe_snapshot(self, snapshot: Snapshot) -> str:
        """Return state, release and date in words."""
        shown = snapshot.shown
        return f"{shown['state'] or 'no state'}, release {shown['release_name']}{on_date(snapshot)}"


def _action(record: Mapping[str, Any]) -> str:
    return str(record["name"]).removesuffix("_app")


def _release(record: Mapping[str, Any]) -> str | None:
    release: str | None = (record["body"] or {}).get("release_name")
    return release


def _is_as_requested(record: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    if _release(record) is not None and shown["release_name"] != _release(record):
        return False
    return AppState.parse(shown["state"]) is STATE_AFTER[_action(record)]


def _was_different(record: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    """Return whether the app was not as requested before, so that what it shows now is new."""
    action = _action(record)
    if action == "redeploy":
        return shown["release_name"] not in (None, _release(record))
    state = AppState.parse(shown["state"])
    return action != "restart" and state not in (AppState.UNKNOWN, STATE_AFTER[action])


def _key(item: Mapping[str, Any]) -> str:
    return str(item.get("id"))


# Nothing promises that the list follows an app at once, and a state of before an action must not be
# taken for one of after it: so the list ends no wait.
_BY_LIST = Batched(list_apps_unparsed, App.parse, _key, attrgetter("app_id"), ends_waits=False)
_BY_HINTS = Hinted(
    list_apps_unparsed,
    _key,
    attrgetter("app_id"),
    lambda item: AppState.parse(item.get("state")) in APP_TRANSITIONAL,
    duration,
)

APP = register(
    Resource(
        kind="app",
        list_request=list_apps,
        distinguishing=("state", "release_name"),
        dashboard_path="/apps/{id}",
        polling={ActionWait.kind: _BY_HINTS, AppWait.kind: _BY_LIST},
    )
)
