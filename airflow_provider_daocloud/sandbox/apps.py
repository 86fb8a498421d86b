"""The apps of a world: what they are at rest, and what a client sees of them.

An app shows a passing state while an action runs on it, and the list of apps may lag behind.
"""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING

from airflow_provider_daocloud.sandbox.objects import APP_STATES, App, AppView, one_of, text
from airflow_provider_daocloud.sandbox.parts import Collection

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.objects import Action
    from airflow_provider_daocloud.sandbox.options import Options
    from airflow_provider_daocloud.sandbox.parts import Shared

# What an app shows while an action runs on it, and where a successful one leaves it.
_PASSING = {
    "start": "STARTING",
    "stop": "STOPPING",
    "restart": "STARTING",
    "redeploy": "RESTAGING",
}
_REACHED = {"start": "RUNNING", "stop": "STOPPED", "restart": "RUNNING", "redeploy": "RUNNING"}


class Apps(Collection[App]):
    """The apps by their ids."""

    kind = "app"

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._packages: dict[tuple[str, str], str] = {}

    def add(
        self,
        name: str,
        *,
        state: str = "RUNNING",
        release_name: str = "v1.0.0",
        image: str | None = None,
        app_id: str | None = None,
        created_at: float | None = None,
        last_operated_at: float | None = None,
        runtime_name: str = "S0",
        runtime_display_name: str = "自有集群",
        enable_auto_redeploy: bool = False,
        instances: int = 1,
        expose_port: int = 80,
        command: str | None = None,
    ) -> App:
        """Create an app. Names need not be unique.

        :raises ValueError: a state that is none, or an id that is taken.
        """
        with self._timeline.up_to_date():
            now = self._timeline.now()
            image = image or f"daocloud.io/sandbox/{name}"
            app = App(
                id=app_id or self._shared.new_id(),
                name=name,
                rest_state=state,
                release_name=release_name,
                package_id=self._package(image, release_name),
                image=image,
                created_at=now - 30 * 86400 if created_at is None else created_at,
                last_operated_at=now - 86400 if last_operated_at is None else last_operated_at,
                runtime_name=runtime_name,
                runtime_display_name=runtime_display_name,
                enable_auto_redeploy=enable_auto_redeploy,
                instances=instances,
                expose_port=expose_port,
                command=command,
            )
            self._put(app)
            app.listed = [(-math.inf, self.view(app))]
            return app

    def change(
        self, id_or_name: str, *, state: str | None = None, release_name: str | None = None
    ) -> App:
        """Change an app behind everybody's back, without an action.

        :raises NotFoundError: there is no such app.
        :raises ValueError: a state that is none.
        """
        if state is not None:
            one_of("state", state, APP_STATES)
        if release_name is not None:
            text("release_name", release_name)
        with self._timeline.up_to_date():
            app = self.find(id_or_name)
            if state is not None:
                app.rest_state = state
            if release_name is not None:
                self._set_release(app, release_name)
            self.changed(app, self._timeline.now())
            return app

    def crash(self, id_or_name: str) -> App:
        """Make an app crash: it is ``NOT_RUNNING``, and no action says so."""
        return self.change(id_or_name, state="NOT_RUNNING")

    def view(self, app: App) -> AppView:
        """Return an app as ``GET /apps/{id}`` shows it now."""
        if app.view is None:
            state = app.rest_state
            if app.running and self._shared.options.transitional_states:
                state = _PASSING[app.running[-1].action]
            fine = self._shared.options.last_operated_at_granularity
            app.view = AppView(
                id=app.id,
                name=app.name,
                state=self._shared.options.spell(state, page_case=self._shared.options.usual_case),
                release_name=app.release_name,
                package_id=app.package_id,
                image=app.image,
                runtime_name=app.runtime_name,
                runtime_display_name=app.runtime_display_name,
                runtime_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, app.runtime_name)),
                enable_auto_redeploy=app.enable_auto_redeploy,
                created_at=app.created_at,
                last_operated_at=app.last_operated_at // fine * fine,
                instances=app.instances,
                expose_port=app.expose_port,
                command=app.command,
            )
        return app.view

    def listed_view(self, app: App) -> AppView:
        """Return an app as ``GET /apps`` shows it now: live, late, or frozen."""
        if self._shared.options.app_list == "live" and not self._shared.options.app_list_lag:
            return self.view(app)
        seen_until = self._timeline.now() - self._shared.options.app_list_lag
        # One entry older than the lag is kept: it is the one that is shown.
        while len(app.listed) > 1 and app.listed[1][0] <= seen_until:
            app.listed.pop(0)
        return app.listed[0][1]

    def changed(self, app: App, when: float) -> None:
        """Let an app be seen as it is now, in the list too unless that lags."""
        app.view = None
        if self._shared.options.app_list == "frozen":
            return
        if self._shared.options.app_list_lag:
            app.listed.append((when, self.view(app)))
        else:
            app.listed = [(when, self.view(app))]

    def options_changed(self, before: Options) -> None:
        """Let the apps be seen as the new options have it."""
        for app in self.values():
            if self._shared.options.app_list == "frozen" and before.app_list != "frozen":
                app.listed = [(-math.inf, self.view(app))]
            self.changed(app, self._timeline.now())

    def apply(self, app: App, action: Action) -> None:
        """Leave an app as an action that has ended leaves it."""
        if action.state == "SUCCESS":
            app.rest_state = _REACHED[action.action]
            if action.release_name is not None:
                self._set_release(app, action.release_name)
        elif action.action == "restart":
            app.rest_state = "NOT_RUNNING"  # it was stopped, and did not come back
        if action.leaves is not None:
            app.rest_state = action.leaves

    def _set_release(self, app: App, release_name: str) -> None:
        app.release_name = release_name
        app.package_id = self._package(app.image, release_name)

    def _package(self, image: str, release_name: str) -> str:
        key = (image, release_name)
        if key not in self._packages:
            self._packages[key] = self._shared.new_id()
        return self._packages[key]
