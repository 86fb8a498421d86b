"""What the API's objects become, however complete they are."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_daocloud.api.openapi.actions import ACTION_TERMINAL, Action, ActionState
from airflow_provider_daocloud.api.openapi.apps import (
    APP_TRANSITIONAL,
    App,
    AppConfig,
    AppRuntime,
    AppState,
    Package,
)
from airflow_provider_daocloud.api.openapi.builds import (
    BUILD_ACTIVE,
    BUILD_FAILED,
    BUILD_TERMINAL,
    Build,
    BuildFlow,
    BuildStatus,
)
from airflow_provider_daocloud.api.openapi.stacks import Stack
from airflow_provider_daocloud.api.parsing import ShapeError, State, parse_date
from tests.support.samples import (
    ACTION,
    ACTION_ID,
    APP,
    APP_ID,
    BUILD,
    BUILD_ID,
    FLOW,
    FLOW_ID,
    LISTED_APP,
    STACK,
    STACK_ACTION,
    STACK_ID,
)

EPOCH = datetime(2015, 12, 14, 10, 16, 23, tzinfo=UTC)
PARSERS = {App: APP, BuildFlow: FLOW, Action: ACTION, Build: BUILD, Stack: STACK}
BUILD_SHOWN = {
    "build_id": BUILD_ID,
    **{name: value for name, value in BUILD.items() if name != "id"},
    "ref_is_tag": False,
    "ref_is_branch": True,
}


def test_build_flow_of_the_page() -> None:
    """Every field of the page's build flow is read."""
    assert BuildFlow.parse(FLOW) == BuildFlow(
        id=FLOW_ID,
        name="mongo_demo",
        status=BuildStatus.SUCCESS,
        status_text="Success",
        package_id="e5033330-978f-4466-97d1-625c57a7943f",
        repo="daocloud/mongo_demo",
        src_language="Go",
        src_provider="github",
        src_origin_url="https://github.com/DaoCloud/golang-mongo-sample",
        created_at=datetime(2015, 12, 1, 6, 25, 57, tzinfo=UTC),
    )


def test_app_of_the_page() -> None:
    """Every field of the page's single app is read, its config included."""
    assert App.parse(APP) == App(
        id=APP_ID,
        name="open-api",
        state=AppState.RUNNING,
        state_text="RUNNING",
        release_name="master-20ec560",
        package=Package("ab6f0727-ba60-4166-8bc6-7012e61303e8", "daocloud.io/daocloud/open-api"),
        app_runtime=AppRuntime("S0", "自有集群"),
        enable_auto_redeploy=True,
        created_at=datetime(2015, 12, 1, 10, 45, 29, tzinfo=UTC),
        last_operated_at=datetime(2015, 12, 14, 10, 1, 39, tzinfo=UTC),
        config=AppConfig(instances=1, expose_ports=(8881,), command=None),
    )


def test_listed_app_of_the_page() -> None:
    """The list's app is the same kind of thing, without a config."""
    app = App.parse(LISTED_APP)
    assert app.config is None
    assert (app.release_name, app.package.image) == ("v1.0.0", "daocloud.io/daocloud/daocloud")


def test_action_of_the_page() -> None:
    """Every field of the page's action is read."""
    assert Action.parse(ACTION) == Action(
        id=ACTION_ID,
        state=ActionState.SUCCESS,
        state_text="SUCCESS",
        app_id=APP_ID,
        action_name="start_app",
        start_date=datetime(2015, 12, 14, 10, 16, 21, tzinfo=UTC),
        end_date=datetime(2015, 12, 14, 10, 16, 23, tzinfo=UTC),
        error_message=None,
        time_cost_seconds=2,
    )


def test_build_of_a_later_page() -> None:
    """Every field of a build is read: its number as text, and its two flags, which are strings."""
    assert Build.parse(BUILD) == Build(
        id=BUILD_ID,
        status=BuildStatus.SUCCESS,
        status_text="Success",
        tag="master-20ec560",
        ref="master",
        sha=BUILD["sha"],
        author="daocloud",
        ref_is_tag=False,
        ref_is_branch=True,
        created_at=datetime(2016, 7, 13, 8, 16, 34, tzinfo=UTC),
    )
    assert Build.parse(BUILD).as_dict() == BUILD_SHOWN


def test_stack_of_a_later_page() -> None:
    """Every field of a stack is read, with the date that has no UTC offset."""
    assert Stack.parse(STACK) == Stack(
        id=STACK_ID,
        name="shop",
        created_at=datetime(2016, 7, 13, 8, 16, 34, tzinfo=UTC),
        last_operated_at=datetime(2016, 7, 14, 9, 26, 44, tzinfo=UTC),
        stack_ids=("c1f7b9f2-6b1d-4f0e-9f57-5d0f0c8f6a10",),
    )


@pytest.mark.parametrize("inner", [None, [], "x", 5, {}, [1], [{}], [{"stack_id": None}], [[]]])
def test_stack_without_members(inner: Any) -> None:
    """A stack whose list of members is none, or names none, is a stack all the same."""
    assert Stack.parse(STACK | {"stacks": inner}).stack_ids == ()


def test_stack_action_of_a_later_page() -> None:
    """A stack's action is an action with the stack's id, its state in lower case."""
    action = Action.parse(STACK_ACTION)
    assert (action.stack_id, action.app_id) == (STACK_ID, None)
    assert (action.state, action.state_text) == (ActionState.SUCCESS, "success")


def test_running_and_failed_action() -> None:
    """A running action has no end yet; a failed one carries DaoCloud's message."""
    running = Action.parse(
        ACTION | {"state": "IN_PROCESS", "end_date": None, "time_cost_seconds": None}
    )
    assert (running.state, running.end_date, running.time_cost_seconds) == (
        ActionState.IN_PROCESS,
        None,
        None,
    )
    failed = Action.parse(ACTION | {"state": "FAILED", "error_info": {"message": "no such tag"}})
    assert (failed.state, failed.error_message) == (ActionState.FAILED, "no such tag")


@pytest.mark.parametrize("parser", PARSERS)
def test_what_describes_may_be_missing_or_null(parser: Any) -> None:
    """Only what identifies a thing is required: the rest may be left out, null or of a wrong type.

    An action without its state says nothing, so there the state is required too.
    """
    sample = PARSERS[parser]
    required = ["id", "state"] if parser is Action else ["id"]
    bare = {name: sample[name] for name in required}
    nulls = dict.fromkeys(sample) | bare
    assert parser.parse(bare) == parser.parse(nulls)
    oddities: list[Any] = [[], {}, [1], {"a": []}, True]
    for odd in oddities:
        assert parser.parse(dict.fromkeys(sample, odd) | bare).id == str(sample["id"])


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("bad", [None, "", [], {}, False])
def test_what_identifies_is_required(parser: Any, bad: Any) -> None:
    """A thing without a usable id is refused, and the error names the field."""
    sample = PARSERS[parser]
    with pytest.raises(ShapeError, match="'id'"):
        parser.parse(sample | {"id": bad})
    with pytest.raises(ShapeError, match="'id'"):
        parser.parse({name: value for name, value in sample.items() if name != "id"})


def test_action_needs_its_state() -> None:
    """An action whose state is missing is refused: it could neither go on nor end."""
    with pytest.raises(ShapeError, match="'state'"):
        Action.parse({"id": "a"})


@pytest.mark.parametrize("parser", PARSERS)
def test_extra_fields_are_ignored(parser: Any) -> None:
    """Fields that nobody knows yet change nothing."""
    sample = PARSERS[parser]
    assert parser.parse(sample | {"new": {"deep": [1]}, "parse": 1}) == parser.parse(sample)


def test_fields_of_later_revisions() -> None:
    """The ports as a list, the runtime's id and a flag as text, as later revisions have them."""
    later = APP | {
        "config": {"instances": "2", "expose_ports": [80, "443", None, {}], "command": "run"},
        "app_runtime": {"name": "S0", "display_name": "x", "id": "r-1"},
        "enable_auto_redeploy": "false",
    }
    app = App.parse(later)
    assert app.config == AppConfig(instances=2, expose_ports=(80, 443), command="run")
    assert app.app_runtime.id == "r-1"
    assert app.enable_auto_redeploy is False


@pytest.mark.parametrize(
    ("config", "inside", "outside"),
    [
        ({"expose_ports": [{"host_port": 20001, "container_port": 80}]}, (80,), (20001,)),
        ({"expose_ports": [{"host_port": "0", "container_port": "80"}, 443]}, (80, 443), (0,)),
        ({"expose_ports": [{"container_port": 80}, {"host_port": 1}]}, (80,), (1,)),
        ({"expose_port": 8881, "expose_ports": []}, (8881,), ()),
        ({"expose_port": 8881, "expose_ports": [{}, None, "x", []]}, (8881,), ()),
        ({"expose_port": 8881, "expose_ports": {"container_port": 80}}, (8881,), ()),
        ({"expose_port": "8881"}, (8881,), ()),
        ({}, (), ()),
    ],
)
def test_ports(config: Any, inside: tuple[int, ...], outside: tuple[int, ...]) -> None:
    """The ports inside, as the page has one, and those of the host where a revision tells them."""
    read = App.parse(APP | {"config": config}).config
    assert read == AppConfig(expose_ports=inside, host_ports=outside)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        *((True, True), ("true", True), (" TRUE\n", True), (1, True), ("1", True), ("yes", True)),
        *((False, False), ("False", False), ("FALSE", False), (0, False), ("0", False)),
        *(("no", False), (None, None), ("", None), ("maybe", None), (2, None), (-1, None)),
        *((1.0, None), ([], None), ({}, None), ([True], None)),
    ],
)
def test_flags_in_every_spelling(sent: Any, read: bool | None) -> None:
    build = Build.parse(BUILD | {"ref_is_tag": sent, "ref_is_branch": sent})
    assert (build.ref_is_tag, build.ref_is_branch) == (read, read)
    assert App.parse(APP | {"enable_auto_redeploy": sent}).enable_auto_redeploy is read


@pytest.mark.parametrize(
    ("sent", "ref"),
    [
        ({"ref": "master"}, "master"),
        ({"branch": "develop"}, "develop"),
        ({"ref": None, "branch": "develop"}, "develop"),
        ({"ref": "v1", "branch": "develop"}, "v1"),
        ({}, None),
    ],
)
def test_a_branch_is_a_ref(sent: dict[str, Any], ref: str | None) -> None:
    assert Build.parse({"id": 1} | sent).ref == ref


def test_killed_is_a_failure() -> None:
    for word in ("Killed", "killed", "KILLED"):
        assert BuildStatus.parse(word) in BUILD_FAILED


def test_numbers_as_ids() -> None:
    """An id that a later revision sends as a number is read as its digits."""
    assert BuildFlow.parse({"id": 17}).id == "17"


@pytest.mark.parametrize("state", [*ActionState, *BuildStatus, *AppState])
def test_states_in_any_letter_case(state: State) -> None:
    """A state is known in any letter case, and with a space or dash for its underscore."""
    for word in (state.value, state.lower(), state.upper(), state.title(), f" {state}\n"):
        assert type(state).parse(word) is state
    assert type(state).parse(state.replace("_", " ")) is state
    assert type(state).parse(state.lower().replace("_", "-")) is state


@pytest.mark.parametrize("word", ["Canceled", "canceled", "CANCELED", "Cancelled", "CANCELLED"])
def test_both_spellings_of_cancelled(word: str) -> None:
    """The service spells it in two ways; both mean the same."""
    assert BuildStatus.parse(word) is BuildStatus.CANCELLED
    flow = BuildFlow.parse(FLOW | {"status": word})
    assert (flow.status_text, flow.as_dict()["status"]) == (word, "Cancelled")


@pytest.mark.parametrize("kind", [ActionState, BuildStatus, AppState])
@pytest.mark.parametrize("word", ["SUCCEEDED", "done", "SUCCESS!", "", " ", None, 0, 1, [], {}])
def test_unlisted_words_are_unknown(kind: type[State], word: object) -> None:
    """A word that is on no list is UNKNOWN: neither an end nor a success."""
    assert kind.parse(word) == "UNKNOWN"


def test_unknown_is_terminal_nowhere() -> None:
    """UNKNOWN is in no set that ends a wait."""
    for states in (ACTION_TERMINAL, BUILD_TERMINAL, BUILD_FAILED, BUILD_ACTIVE, APP_TRANSITIONAL):
        assert "UNKNOWN" not in states
    assert BUILD_TERMINAL.isdisjoint(BUILD_ACTIVE)
    assert BUILD_TERMINAL | BUILD_ACTIVE | {BuildStatus.UNKNOWN} == set(BuildStatus)


def test_unknown_word_stays_readable() -> None:
    """The word that nobody knows is shown as it was sent."""
    assert App.parse(APP | {"state": "Hibernating"}).as_dict()["state"] == "Hibernating"
    assert Action.parse(ACTION | {"state": "QUEUED"}).as_dict()["state"] == "QUEUED"
    assert BuildFlow.parse({"id": "x"}).as_dict()["status"] is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2015-12-14T10:16:23+00:00", datetime(2015, 12, 14, 10, 16, 23, tzinfo=UTC)),
        ("2015-12-14T10:16:23Z", datetime(2015, 12, 14, 10, 16, 23, tzinfo=UTC)),
        ("2015-12-14T18:16:23+08:00", datetime(2015, 12, 14, 10, 16, 23, tzinfo=UTC)),
        ("2015-12-14T10:16:23", datetime(2015, 12, 14, 10, 16, 23, tzinfo=UTC)),
        (" 2015-12-14 10:16:23.5 ", datetime(2015, 12, 14, 10, 16, 23, 500000, tzinfo=UTC)),
        ("", None),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (None, None),
        *((sent, EPOCH) for sent in (1450088183, 1450088183.0, "1450088183", " 1450088183.0\n")),
        *((sent, EPOCH) for sent in (1450088183000, "1450088183000", 1450088183000000)),
        (1450088183500, EPOCH.replace(microsecond=500000)),
        ("1412011112000", datetime(2014, 9, 29, 17, 18, 32, tzinfo=UTC)),
        ("20151214", datetime(2015, 12, 14, tzinfo=UTC)),
        *((sent, None) for sent in (0, -1450088183, 20151214, 5, True, "5", float("nan"), 1e400)),
        ("9" * 400, None),
        ([], None),
    ],
)
def test_dates(text: object, moment: datetime | None) -> None:
    """Dates become UTC; one without a zone is UTC already; what is no date is None."""
    assert parse_date(text) == moment
    read = App.parse(APP | {"created_at": text, "last_operated_at": text})
    assert (read.created_at, read.last_operated_at) == (moment, moment)


def test_dates_do_not_depend_on_our_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date without a zone is UTC wherever this machine stands."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        assert parse_date("2015-12-14T10:16:23") == datetime(2015, 12, 14, 10, 16, 23, tzinfo=UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        *((2, 2), (2.5, 2.5), ("3", 3), (2.0, 2)),
        *((None, None), ("soon", None), (True, None), ([], None)),
        *((float("nan"), None), (float("inf"), None), (10**400, None)),
    ],
)
def test_seconds_of_an_action(sent: Any, read: float | None) -> None:
    """A duration is a finite number or nothing, so that it can be written as JSON."""
    assert Action.parse(ACTION | {"time_cost_seconds": sent}).time_cost_seconds == read


@pytest.mark.parametrize("info", [None, {}, [], "", {"message": ""}, {"message": 5}, 7])
def test_error_info_without_a_message(info: Any) -> None:
    """An error_info of any other form is no message, and no error."""
    assert Action.parse(ACTION | {"error_info": info}).error_message is None


def test_error_info_as_plain_text() -> None:
    """A message that stands in error_info itself is taken."""
    assert Action.parse(ACTION | {"error_info": "boom"}).error_message == "boom"


@pytest.mark.parametrize("parser", PARSERS)
def test_as_dict_is_json(parser: Any) -> None:
    """What tasks return is plain JSON with the API's names, dates in ISO form."""
    sample = PARSERS[parser]
    made = parser.parse(sample).as_dict()
    assert json.loads(json.dumps(made)) == made
    for name in made.keys() & {"created_at", "last_operated_at", "start_date", "end_date"}:
        assert made[name] == f"{sample[name].removesuffix('+00:00')}+00:00"


def test_as_dict_of_an_action() -> None:
    """An action says which action it is, and everything that the page shows of it."""
    assert Action.parse(ACTION).as_dict() == {
        "action_id": ACTION_ID,
        "action_name": "start_app",
        "state": "SUCCESS",
        "app_id": APP_ID,
        "start_date": "2015-12-14T10:16:21+00:00",
        "end_date": "2015-12-14T10:16:23+00:00",
        "time_cost_seconds": 2,
        "error_message": None,
    }
    of_a_stack = Action.parse(STACK_ACTION).as_dict()
    assert of_a_stack["stack_id"] == STACK_ID
    assert "app_id" not in of_a_stack


@pytest.mark.parametrize("parser", PARSERS)
def test_objects_are_frozen(parser: Any) -> None:
    """An object is what the API said at one moment: it cannot be changed."""
    thing = parser.parse(PARSERS[parser])
    with pytest.raises(dataclasses.FrozenInstanceError):
        thing.id = "other"
    assert hash(thing) == hash(parser.parse(PARSERS[parser]))


def test_text_that_cannot_be_written() -> None:
    """Half a surrogate pair, which JSON can spell and no UTF-8 file can hold, is replaced."""
    app = App.parse(json.loads(r'{"id": "a", "name": "x\ud800y", "state": "\udfff"}'))
    assert app.name == "x?y"
    assert json.dumps(app.as_dict(), ensure_ascii=False).encode()
