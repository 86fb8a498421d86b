"""The sandbox in a browser: its apps and build flows, and a button that starts a build."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any
from urllib.parse import quote

_HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width">
<title>DaoCloud sandbox</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0 0 2rem; width: 100%; }
td, th { border-bottom: 1px solid #8885; padding: .4rem .8rem .4rem 0; text-align: left; }
button { font: inherit; padding: .2rem .8rem; }
form { margin: 0; }
</style>
</head>
<body>
<h1>DaoCloud sandbox</h1>
"""


def page(control: str, state: Mapping[str, Any]) -> str:
    """Return the page.

    :param control: the path of the control endpoints.
    :param state: what they show of the world.
    """
    apps = _table(
        ("App", "State", "Release"),
        ((app["name"], app["state"], app["release_name"]) for app in state["apps"]),
    )
    flows = _table(
        ("Build flow", "Latest build", "Package", ""),
        (
            (flow["name"], flow["status"], flow["package_id"], _button(control, flow["id"]))
            for flow in state["build_flows"]
        ),
    )
    return f"{_HEAD}{apps}{flows}</body>\n</html>\n"


class _Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def _button(control: str, build_flow_id: str) -> _Html:
    action = f"{control}/build-flows/{quote(build_flow_id, safe='')}/builds"
    return _Html(f'<form method="post" action="{action}"><button>Start a build</button></form>')


def _table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = ["".join(f"<th>{escape(name)}</th>" for name in head)]
    lines += ["".join(f"<td>{_cell(value)}</td>" for value in row) for row in rows]
    return "<table>\n" + "".join(f"<tr>{line}</tr>\n" for line in lines) + "</table>\n"


def _cell(value: Any) -> str:
    if isinstance(value, _Html):
        return value
    return "" if value is None else escape(str(value))
