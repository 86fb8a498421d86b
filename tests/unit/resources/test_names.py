"""From a name to an id: the match, the errors, and what the hook asks for."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

import pytest

from airflow_provider_daocloud.api.errors import InputError, NameMatchError, RefusedError
from airflow_provider_daocloud.api.openapi.apps import App
from airflow_provider_daocloud.api.openapi.builds import BuildFlow
from airflow_provider_daocloud.api.openapi.stacks import Stack
from airflow_provider_daocloud.api.validation import id_or_name
from airflow_provider_daocloud.core.waiting.wait import is_permanent
from airflow_provider_daocloud.hooks.daocloud import DaoCloudHook
from airflow_provider_daocloud.resources.names import find, find_all
from airflow_provider_daocloud.sandbox import Sandbox

if TYPE_CHECKING:
    from requests_mock import Mocker


def apps(*called: str | None) -> list[App]:
    return [App(f"id-{number}", name) for number, name in enumerate(called)]


def refusal(kind: str, listed: list[Any], *wanted: str) -> str:
    with pytest.raises(NameMatchError) as caught:
        find_all(kind, listed, wanted, f"{kind}_names")
    assert is_permanent(caught.value)  # no retry can fix it
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return str(caught.value)


# --- the match ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["web", "Web", "web ", "我的应用", "my app"])
def test_the_match_is_exact(name: str) -> None:
    there = apps("web", "Web", "web ", "我的应用", "my app", None)
    assert find("app", there, name).name == name


NFC, NFD = (normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("wanted", "there"), [(NFC, NFD), (NFD, NFC)], ids=ascii)
@pytest.mark.parametrize(
    ("kind", "model"), [("app", App), ("build_flow", BuildFlow), ("stack", Stack)]
)
def test_a_name_in_another_unicode_form_is_found(
    kind: str, model: Any, wanted: str, there: str
) -> None:
    listed = [model.parse({"id": "1", "name": there}), model.parse({"id": "2", "name": "cafe"})]
    assert find(kind, listed, wanted).id == "1"


@pytest.mark.parametrize("wanted", [NFC, NFD], ids=ascii)
def test_the_very_form_comes_first(wanted: str) -> None:
    assert find("app", apps(NFC, NFD), wanted).name == wanted


def test_several_in_other_forms_are_not_guessed() -> None:
    """Three ways to write one letter with two accents."""
    forms = ["\u1e69", "s\u0323\u0307", "s\u0307\u0323"]
    text = refusal("app", apps(*forms[:2]), forms[2])
    assert text.startswith(f"app_names: 2 apps are called {forms[2]!r}: id-0 ")
    assert find("app", apps(*forms), forms[2]).name == forms[2]


def test_one_app_in_two_forms_is_given_twice(daocloud_sandbox: Sandbox) -> None:
    daocloud_sandbox.world.add_app(NFC)
    with pytest.raises(InputError, match=r"^app_names: has these more than once: caf"):
        DaoCloudHook().find_apps([NFC, NFD])
    daocloud_sandbox.world.add_app(NFD)
    assert [app.name for app in DaoCloudHook().find_apps([NFD, NFC])] == [NFD, NFC]


def test_several_come_in_the_order_of_the_names() -> None:
    there = apps("a", "b", "c")
    assert [app.name for app in find_all("app", there, ["c", "a"], "x")] == ["c", "a"]


def test_a_name_that_is_unlike_in_case_alone_is_no_match_and_named_first() -> None:
    there = apps(*(f"app-{number}" for number in range(50)), "Web")
    text = refusal("app", there, "web")
    assert text.startswith("app_names: no app is called 'web'. There are: 'Web', ")
    assert text.endswith(", and 41 more.")
    assert text.count("'app-") == 9


def test_few_are_named_in_alphabetical_order() -> None:
    there = apps("web", "api", None, "api-2")
    assert refusal("app", there, "x") == (
        "app_names: no app is called 'x'. There are: 'api', 'api-2', 'web'."
    )


def test_with_none_at_all_it_says_so() -> None:
    assert refusal("build_flow", [], "x") == (
        "build_flow_names: no build flow is called 'x'. The access token sees none."
    )


def test_all_problems_are_named_at_once() -> None:
    there = apps("web", "web", "api")
    text = refusal("app", there, "wbe", "web", "api", "ap")
    assert "no app is called 'wbe', 'ap'. There are: 'api', 'web'." in text
    assert "2 apps are called 'web': id-0 (None, None), id-1 (None, None)." in text
    assert "Give the app_id of one." in text


def test_a_thousand_problems_make_a_short_text() -> None:
    there = apps(*(f"twin-{number // 2}" for number in range(1000)), *["same"] * 1000)
    wanted = [f"none-{number}" for number in range(1000)]
    twins = [f"twin-{number}" for number in range(500)]
    text = refusal("app", there, *wanted, *twins, "same")
    assert len(text) < 3000


def test_what_distinguishes_two_is_named() -> None:
    two = [
        BuildFlow.parse({"id": str(n), "name": "web", "status": "Success", "repo": f"acme/{n}"})
        for n in (1, 2)
    ]
    assert "1 (Success, acme/1), 2 (Success, acme/2)" in refusal("build_flow", two, "web")
    stacks = [
        Stack.parse({"id": str(n), "name": "web", "created_at": f"2024-01-0{n}"}) for n in (1, 2)
    ]
    assert "1 (2024-01-01T00:00:00+00:00), 2 (2024-" in refusal("stack", stacks, "web")


# --- the arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize(("an_id", "name"), [(None, None), ("a", "b"), ("", "")])
def test_one_of_the_two_is_to_be_given(an_id: Any, name: Any) -> None:
    with pytest.raises(InputError, match=r"^app_id: give either app_id or app_name: ") as caught:
        id_or_name("app", an_id, name)
    assert str(caught.value).endswith("neither is given." if an_id is None else "both are given.")


def test_an_empty_one_is_given_too() -> None:
    """It can be a template that comes from elsewhere; it is refused when the task runs."""
    assert id_or_name("app", "", None) == ("", None)
    assert id_or_name("app", None, "") == (None, "")


BAD_NAMES: list[Any] = ["", "  ", "None", "{{ x }}", "{% x %}", "a\nb", "\x00", "\ud800", 5.5, None]


@pytest.mark.parametrize("bad", BAD_NAMES, ids=repr)
def test_what_is_no_name_is_refused_and_nothing_is_sent(
    daocloud_sandbox: Sandbox, bad: Any
) -> None:
    hook = DaoCloudHook()
    with pytest.raises(InputError, match=r"^app_name: "):
        hook.find_app(bad)
    with pytest.raises(InputError, match=r"^build_flow_name: "):
        hook.find_build_flow(bad)
    with pytest.raises(InputError, match=r"^stack_name: "):
        hook.find_stack(bad)
    with pytest.raises(InputError, match=r"^app_names: "):
        hook.find_apps(["web", bad])
    assert not daocloud_sandbox.connections


@pytest.mark.parametrize(
    ("bad", "problem"), [("web", "not one name"), (["a", "b", "a"], "more than once: a")]
)
def test_what_is_no_list_of_names_is_refused(
    daocloud_sandbox: Sandbox, bad: Any, problem: str
) -> None:
    with pytest.raises(InputError, match=rf"^app_names: .*{problem}"):
        DaoCloudHook().find_apps(bad)
    assert not daocloud_sandbox.connections


# --- the hook -------------------------------------------------------------------------------------


def test_the_hook_finds_each_kind_with_one_call(daocloud_sandbox: Sandbox) -> None:
    world, hook = daocloud_sandbox.world, DaoCloudHook()
    assert hook.find_app("web").id == world.app("web").id
    assert hook.find_build_flow("web").id == world.build_flow("web").id
    assert daocloud_sandbox.counts == {"list_apps": 1, "list_build_flows": 1}
    hook.close()


def test_the_hook_finds_a_stack(requests_mock: Mocker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DAOCLOUD_DEFAULT", "daocloud://:token@")
    stacks = {"stacks": [{"id": "1", "name": "shop"}, {"id": "2", "name": "blog"}]}
    requests_mock.get("https://openapi.daocloud.io/v1/stacks", json=stacks)
    assert DaoCloudHook().find_stack("blog").id == "2"
    assert len(requests_mock.request_history) == 1


def test_a_fleet_is_found_with_one_call(daocloud_sandbox: Sandbox) -> None:
    world, hook = daocloud_sandbox.world, DaoCloudHook()
    fleet = [f"shop {number}" for number in range(100)]
    for name in reversed(fleet):
        world.add_app(name)
    assert [app.id for app in hook.find_apps(iter(fleet))] == [world.app(n).id for n in fleet]
    assert daocloud_sandbox.counts == {"list_apps": 1}
    assert hook.find_apps([]) == ()
    assert daocloud_sandbox.counts == {"list_apps": 1}
    hook.close()


def test_two_apps_of_one_name_are_distinguished(daocloud_sandbox: Sandbox) -> None:
    world, hook = daocloud_sandbox.world, DaoCloudHook()
    twin = world.add_app("web", state="STOPPED", release_name="v0.9.0")
    with pytest.raises(NameMatchError, match=r"^app_name: 2 apps are called 'web': ") as caught:
        hook.find_app("web")
    assert f"{twin.id} (STOPPED, v0.9.0)" in str(caught.value)
    assert daocloud_sandbox.token not in str(caught.value)
    hook.close()


def test_a_fault_that_passes_is_retried(daocloud_sandbox: Sandbox) -> None:
    daocloud_sandbox.fault("status", call="list_apps", status=503)
    hook = DaoCloudHook()
    assert hook.find_app("web").name == "web"
    assert daocloud_sandbox.counts == {"list_apps": 2}
    daocloud_sandbox.fault("status", call="list_apps", status=400)
    with pytest.raises(RefusedError):
        hook.find_app("web")
    hook.close()
