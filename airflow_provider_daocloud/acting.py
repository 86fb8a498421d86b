"""How an action is asked of DaoCloud once, and only once, whatever breaks on the way.

`Act.begin` looks at what earlier tries left in the journal and decides: join the action that runs,
return what is settled already, find out what became of a POST that nobody saw answered, or post.
What it decides, and on what evidence, is one line of the log and stands in the result.

Where the evidence does not suffice there is at most one action, and an honest word:
`OutcomeUnknownError` with what a person should look at. It is never resolved by posting again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from airflow_provider_daocloud.api import protocol
from airflow_provider_daocloud.api.errors import (
    CallError,
    DaoCloudError,
    InputError,
    NotFoundError,
    OutcomeUnknownError,
    ProtocolError,
    RefusedError,
)
from airflow_provider_daocloud.api.models import (
    ACTION_TERMINAL,
    APP_TRANSITIONAL,
    App,
    AppState,
)
from airflow_provider_daocloud.api.protocol import Call
from airflow_provider_daocloud.arguments import DEFAULT_SETTLE, IfBusy, OnAmbiguous
from airflow_provider_daocloud.journal import Asked, Before, Entry, Journal, Wish
from airflow_provider_daocloud.waits import Cadence

T = TypeVar("T")


# In that time the looks at the app are this many seconds apart.
LOOK_EVERY = 2.0
# What is waited for longer than that is asked for ever more seldom.
CADENCE = Cadence(longest=30.0, first=LOOK_EVERY)
# The status taken for: another action runs on the app. Nothing documents one.
CONFLICT = 409
# The state in which an action leaves the app.
REACHED = {
    "start_app": AppState.RUNNING,
    "stop_app": AppState.STOPPED,
    "restart_app": AppState.RUNNING,
    "redeploy_app": AppState.RUNNING,
}


class AppBusyError(DaoCloudError):
    """Another action runs on the app, and nothing was posted. A later try may find it free."""


@dataclass(frozen=True)
class Running:
    """The action was accepted: wait for it by its id."""

    action_id: str
    joined: bool = False


@dataclass(frozen=True)
class Done:
    """It is over, and this is what the task returns."""

    result: dict[str, Any]


@dataclass
class Act:
    """One wish for an action on an app.

    :param call: the call that posts the action.
    :param app_id: the app.
    :param journal: what earlier tries left, and what this one does.
    :param wish: this try.
    :param send: sends a call, retrying what may be retried.
    :param log: logs one line.
    :param on_ambiguous: what to do about a POST that may or may not have arrived.
    :param if_busy: what to do if another action runs on the app.
    :param settle: seconds for which an app is watched before a POST is taken never to have arrived.
    :param timeout: seconds for which an app is waited for in all.
    :param needs_id: whether an action without an id is of no use.
    :param skip_if_current: leave an app alone that already runs the asked release.
    :param run_seconds: on Airflow without a journal, for a retry: how many seconds ago the DAG run
        began; else None.
    :param server_time: returns the server's clock as of its last answer, in seconds since the
        epoch, or None. Server values are compared with server values, never with our clock.
    :param stopped: whether Airflow has told the task to end: then nothing is posted any more.
    """

    call: Call[str]
    app_id: str
    journal: Journal
    wish: Wish
    send: Callable[[Call[Any]], Any]
    log: Callable[..., None]
    on_ambiguous: OnAmbiguous = "verify"
    if_busy: IfBusy = "wait"
    settle: float = DEFAULT_SETTLE
    timeout: float = 3600.0
    needs_id: bool = False
    skip_if_current: bool = False
    run_seconds: float | None = None
    server_time: Callable[[], float | None] = lambda: None
    stopped: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    asked: Asked = field(init=False)

    def __post_init__(self) -> None:
        """Note what is asked, and since when."""
        self.asked = Asked.of(self.call, self.app_id)
        self._began = self.clock()
        # The app before a POST that was taken never to have arrived. If it did arrive, the app will
        # differ from this after all.
        self._doubted: Before | None = None

    def begin(self) -> Running | Done:
        """Join, recall, find out or post: whatever makes it one action for one wish.

        :raises OutcomeUnknownError: it may have been posted, and nobody can tell what became of it.
        :raises AppBusyError: another action runs on the app.
        :raises JournalError: the journal cannot be used; nothing was posted.
        :raises CallError: DaoCloud refused it, or could not be reached; nothing was posted.
        """
        entry = self.journal.read()
        if entry is not None and entry.phase != "dropped":
            found = self._recall(entry)
            if found is not None:
                return found
        elif self.run_seconds is not None:
            found = self._recognize(self.run_seconds)
            if found is not None:
                return found
        return self._post()

    # --- what earlier tries left ----------------------------------------------------------------

    def _recall(self, entry: Entry) -> Running | Done | None:
        same = entry.is_of(self.wish)
        if same is False:
            found = self._join_if_running(entry)
            if found is None:
                self.log("The task was cleared: acting anew.")
            return found
        if entry.phase == "settled" and entry.result is None:
            self.log("An earlier try saw the action fail: acting again.")
            return None
        if same is None:
            return self._join_or_give_up(entry)
        if entry.asked != self.asked:
            raise InputError(
                "release_name" if entry.asked.call == self.asked.call else "action",
                f"an earlier try of this task asked for {asdict(entry.asked)}, and this one asks "
                f"for {asdict(self.asked)}. Nothing was sent: one wish is one action. Clear the "
                "task to make it a new wish.",
            )
        self.journal.note(wish=self.wish, left=None)
        if entry.result is not None:
            self.log("An earlier try saw it succeed: returning what it stored.")
            return Done(entry.result)
        if entry.action_id is not None:
            self.log("An earlier try posted action %s: waiting for it.", entry.action_id)
            return Running(entry.action_id, joined=True)
        self.log("An earlier try may have posted it, and left no action id: finding out.")
        return self._settle(entry.before, "The earlier try ended before it knew the answer.")

    def _join_if_running(self, entry: Entry) -> Running | None:
        """Join an action that still runs: a finished one is no result of a new wish."""
        if entry.phase != "accepted" or entry.action_id is None or entry.asked != self.asked:
            return None
        try:
            action = self.send(protocol.get_action(self.app_id, entry.action_id))
        except NotFoundError:
            return None
        if action.state in ACTION_TERMINAL:
            return None
        self.log("The task was cleared, and action %s still runs: joining it.", entry.action_id)
        self.journal.note(wish=self.wish, left=None)
        return Running(entry.action_id, joined=True)

    def _join_or_give_up(self, entry: Entry) -> Running:
        """Do what is right for a retry and for a new wish; they part when the action has ended."""
        found = self._join_if_running(entry)
        if found is None:
            raise self._unknown(
                "The process of the last try vanished, and something in the DAG run was cleared "
                f"since. If it was this task, it is to act again; if not, action {entry.action_id} "
                "was its action. Which one cannot be told.",
                entry.before,
                None,
            )
        return found

    def _recognize(self, run_seconds: float) -> Done | None:
        """A retry without a journal: what the app itself shows of an earlier try."""
        if self.needs_id or self.call.name == "restart_app" or self.on_ambiguous == "resend":
            return None
        app = self._rested_app()
        now, operated = self.server_time(), app.last_operated_at
        if now is None or operated is None or operated.timestamp() < now - run_seconds:
            return None
        if not self._shows_wish(app):
            return None
        evidence = {"now": asdict(self._before(app)), "operated": "since the DAG run began"}
        self.log("A retry, and the app already shows what is asked: %s. Taken as done.", evidence)
        return Done(self._adopted(evidence))

    # --- posting --------------------------------------------------------------------------------

    def _post(self) -> Running | Done:
        while True:
            found = self._post_once()
            if found is not None:
                return found

    def _post_once(self) -> Running | Done | None:
        app = self._free_app()
        now = self._before(app)
        if self._doubted is not None and now != self._doubted:
            return self._settle(self._doubted, "It was taken never to have arrived")
        if self.skip_if_current and self._shows_wish(app):
            self.log("The app runs %s already: left alone.", app.release_name)
            return Done(self._result() | {"skipped": True})
        if self.stopped():
            raise DaoCloudError(f"{self.call}: the task was told to end; nothing was sent.")
        before = self._doubted or now
        self.journal.intend(Entry(self.wish, self.asked, before, "intended"))
        try:
            action_id = self.send(self.call)
        except (OutcomeUnknownError, ProtocolError) as e:
            return self._settle(before, str(e))
        except CallError as e:
            return self._refused(e)
        self.journal.note(phase="accepted", action_id=action_id)
        return Running(action_id)

    def _refused(self, error: CallError) -> Done | None:
        """Wait, if it was refused while another action runs on the app; None: post again."""
        if self._doubted is None:
            self.journal.note(phase="dropped")
        if not isinstance(error, RefusedError) or error.status != CONFLICT:
            raise error
        if self.if_busy != "wait" or self._late():
            raise AppBusyError(f"another action runs on app {self.app_id}: {error}") from error
        self.log("DaoCloud refuses it while another action runs (%s): waiting.", error)
        if self._doubted is not None:
            # What runs on the app can be ours.
            self.journal.note(changed=True)
            return self._settle(self._doubted, str(error))
        self._pause()
        return None

    def _free_app(self) -> App:
        """Return the app, when no other action runs on it, or as ``if_busy`` says."""
        app = self._app()
        if app.state not in APP_TRANSITIONAL or self.if_busy == "send":
            return app
        if self.if_busy == "fail":
            raise AppBusyError(f"app {self.app_id} is {app.state_text}: another action runs on it.")
        self.log("App %s is %s: waiting for the action on it to end.", app.id, app.state_text)
        return self._rested_app()

    def _rested_app(self) -> App:
        while (app := self._app()).state in APP_TRANSITIONAL:
            if self._late():
                raise AppBusyError(
                    f"app {self.app_id} is still {app.state_text} after {self.timeout:g} s."
                )
            self._pause()
        return app

    # --- a POST that may or may not have arrived -------------------------------------------------

    def _settle(self, before: Before, why: str) -> Done | None:
        """Find out what became of a POST. None means that it is to be posted (again).

        :param before: the app as it was before the POST.
        :param why: why nobody knows.
        :raises OutcomeUnknownError: the evidence does not suffice.
        """
        why = why.rstrip(".")
        if self.on_ambiguous == "resend":
            self.log("%s. Nobody knows whether it arrived: posting it again, as asked.", why)
            if self._late():
                raise self._unknown(why, before, None)
            self._pause()
            return None
        if self.on_ambiguous == "fail":
            raise self._unknown(why, before, None)
        try:
            app, changed = self._watch(before)
        except CallError as e:
            raise self._unknown(f"{why}. The app cannot be read: {e}", before, None) from e
        now = self._before(app)
        if not changed and before.would_move:
            self.log("%s. The app did not change in %g s: it never arrived.", why, self.settle)
            if self._late():
                raise self._unknown(why, before, now)
            self._doubted = before
            return None
        evidence = {"before": asdict(before), "now": asdict(now)}
        dates = (before.last_operated_at, now.last_operated_at)
        moved = None not in dates and dates[0] != dates[1]
        telling = not self._showed_wish(before) or (self.on_ambiguous == "adopt" and moved)
        ours = telling and self._shows_wish(app)
        if not ours or self.needs_id:
            raise self._unknown(why, before, now)
        self.log("%s. It arrived, as the app shows: %s", why, evidence)
        return Done(self._settled(self._adopted(evidence)))

    def _watch(self, before: Before) -> tuple[App, bool]:
        """Watch the app for the settle window, and on until no action runs on it.

        :return: the app at last, and whether anything of it changed since the POST. That is kept
            in the journal: an app can look again as it did before.
        """
        until = self.clock() + self.settle
        changed = self.journal.entry is not None and self.journal.entry.changed
        while True:
            app = self._app()
            if not changed and self._before(app) != before:
                changed = True
                self.journal.note(changed=True)
            busy = app.state in APP_TRANSITIONAL
            if self.clock() >= until and (not busy or self._late()):
                return app, changed or busy
            if self.clock() >= until:
                self._pause()
            else:
                self.sleep(min(LOOK_EVERY, max(until - self.clock(), 0.01)))

    def _shows_wish(self, app: App) -> bool:
        """Whether the app is as the action would leave it."""
        if self.call.name == "redeploy_app" and app.release_name != self.asked.release_name:
            return False
        return app.state is REACHED[self.call.name]

    def _showed_wish(self, before: Before) -> bool:
        """Whether it was so before, or may have been: then it proves nothing."""
        if self.call.name == "redeploy_app":
            return before.release_name in (None, self.asked.release_name)
        if self.call.name == "restart_app":
            return True
        return AppState.parse(before.state) in (AppState.UNKNOWN, REACHED[self.call.name])

    # --- results --------------------------------------------------------------------------------

    def _adopted(self, evidence: dict[str, Any]) -> dict[str, Any]:
        return self._result() | {"adopted": True, "evidence": evidence}

    def _result(self) -> dict[str, Any]:
        """Return a result without an action: the same fields, as far as they are known."""
        return {
            "action_id": None,
            "action_name": self.call.name,
            "state": None,
            "app_id": self.app_id,
            "start_date": None,
            "end_date": None,
            "time_cost_seconds": None,
            "error_message": None,
        }

    def _settled(self, result: dict[str, Any]) -> dict[str, Any]:
        self.journal.note(phase="settled", result=result)
        return result

    def _unknown(self, why: str, before: Before, now: Before | None) -> OutcomeUnknownError:
        seen = f"before it {asdict(before)}"
        if now is not None:
            seen += f", and now {asdict(now)}"
        if self.needs_id:
            why = f"{why.rstrip('.')}. The action id, which was wanted, cannot be found out."
        problem = (
            f"outcome unknown: {why.rstrip('.')}. The app showed {seen}. See in DaoCloud whether "
            "the action was taken; then clear the task to act again, or mark it as success."
        )
        return OutcomeUnknownError(str(self.call), problem)

    def _before(self, app: App) -> Before:
        return Before.of(app, self.server_time())

    def _app(self) -> App:
        app: App = self.send(protocol.get_app(self.app_id))
        return app

    def _pause(self) -> None:
        self.sleep(CADENCE.pause(self.clock() - self._began))

    def _late(self) -> bool:
        return self.clock() >= self._began + self.timeout
