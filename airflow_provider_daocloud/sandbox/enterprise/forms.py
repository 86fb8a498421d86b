"""The form with which a pipeline is started."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from airflow_provider_daocloud.sandbox.enterprise.wire import invalid

if TYPE_CHECKING:
    from airflow_provider_daocloud.sandbox.enterprise.wire import Call


def read_form(call: Call) -> dict[str, str]:
    """Return the fields of the body; several values of one are joined by commas.

    :raises RefusalError: the body is of a form that the world does not take.
    """
    body, content = call.request.body, call.request.headers.get("content-type", "")
    if not body.strip():
        return {}
    if content.startswith("multipart/form-data"):
        return _multipart(content, body)
    if call.options.start_body == "multipart":
        raise invalid("request Content-Type isn't multipart/form-data")
    if content.startswith("application/json"):
        return {name: _text(value) for name, value in call.body.items()}
    try:
        values = parse_qs(body.decode(), keep_blank_values=True)
    except UnicodeDecodeError:
        raise invalid("the body is not text") from None
    return {name: ",".join(several) for name, several in values.items()}


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _multipart(content: str, body: bytes) -> dict[str, str]:
    head = f"Content-Type: {content}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    boundary = message.get_boundary()
    if boundary is not None and body.strip() == f"--{boundary}--".encode():
        return {}
    if not message.is_multipart():
        raise invalid("no multipart boundary found in the body")
    values: dict[str, list[str]] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(data, bytes):
            raise invalid("a part of the form has no name")
        values.setdefault(name, []).append(data.decode(errors="replace"))
    return {name: ",".join(several) for name, several in values.items()}
