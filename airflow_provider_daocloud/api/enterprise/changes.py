"""What is changed of a workload: a patch that says which operation it is of.

Each change notes its *operation* in an annotation of the workload, beside what it changes and
outside of the pods' template: it starts no rollout, and it shows, after whatever broke on the way,
whether the change was made. The last ten operations are kept, each with what ran before it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_daocloud.api.enterprise.generation import ENTERPRISE
from airflow_provider_daocloud.api.enterprise.workloads import (
    ROOT,
    Workload,
    WorkloadRef,
    patch_workload,
)
from airflow_provider_daocloud.api.errors import InputError
from airflow_provider_daocloud.api.parsing import ShapeError
from airflow_provider_daocloud.api.request import Request
from airflow_provider_daocloud.api.validation import checked

OPERATIONS = "airflow-provider-daocloud/operations"
# Of the template: another value there makes new pods.
RESTARTED_BY = "airflow-provider-daocloud/restarted-by"
OPERATIONS_KEPT = 10


@dataclass(frozen=True)
class Change(Request[Workload]):
    """A change of a workload. Its body says what is wanted; `completed_by` makes it a patch.

    :param ref: the workload.
    """

    ref: WorkloadRef = field(kw_only=True)

    def completed_by(self, seen: Workload) -> Request[Workload]:
        """Return the patch for the workload as it is.

        :param seen: the workload.
        :raises InputError: it has no such container.
        """
        return patch_workload(self.ref, patch_of(self.body, seen))


def change_workload(
    name: str,
    ref: WorkloadRef,
    operation: str,
    *,
    images: Mapping[str, str] | None = None,
    replicas: int | None = None,
    restart: bool = False,
) -> Change:
    """Return the request that changes a workload: ``PATCH …/{kind}s/{name}``.

    :param name: what it is called: ``deploy``, ``scale``, ``restart``.
    :param ref: the workload.
    :param operation: what identifies this change.
    :param images: the image of each container that gets another one; see `resolved_images`.
    :param replicas: how many pods there are to be.
    :param restart: whether to make new pods even if nothing else changes.
    """
    body = {
        "operation": operation,
        "images": None if images is None else dict(images),
        "replicas": replicas,
        "restart": restart,
    }
    path = f"{ROOT}{ref.path}"
    return Change(f"{name}_{ref.kind}", "PATCH", path, _never, body, api=ENTERPRISE, ref=ref)


def _never(data: Any) -> Workload:
    raise ShapeError(f"a {type(data).__name__} for a change that was never completed")


def patch_of(wanted: Mapping[str, Any], seen: Workload) -> dict[str, Any]:
    """Return the patch that makes a workload as it is wanted.

    It has whole lists of containers, so that none is lost whatever kind of merge the service makes;
    and the version of the object that it was made for, so that nobody's change is undone.

    :param wanted: the body of a `Change`.
    :param seen: the workload.
    :raises InputError: it has no such container.
    """
    if wanted["images"] is not None and not wanted["images"]:
        raise InputError("images", "names no container: nothing would be deployed.")
    images = None if wanted["images"] is None else resolved_images(wanted["images"], seen)
    before = release_text(wanted["images"] or {}, seen)
    done = [[wanted["operation"], before], *operations(seen)][:OPERATIONS_KEPT]
    metadata: dict[str, Any] = {"annotations": {OPERATIONS: json.dumps(done)}}
    if seen.resource_version:
        metadata["resourceVersion"] = seen.resource_version
    patch: dict[str, Any] = {"metadata": metadata}
    template: dict[str, Any] = {}
    if images is not None:
        # As they came: an environment may hold a secret that nobody is shown.
        whole = seen.original or seen.object
        containers = copy.deepcopy(whole["spec"]["template"]["spec"]["containers"])
        for container in containers:
            container["image"] = images.get(container["name"], container.get("image"))
        template["spec"] = {"containers": containers}
    if wanted["restart"]:
        template["metadata"] = {"annotations": {RESTARTED_BY: wanted["operation"]}}
    if template:
        patch["spec"] = {"template": template}
    if wanted["replicas"] is not None:
        patch.setdefault("spec", {})["replicas"] = wanted["replicas"]
    return patch


def operations(seen: Workload) -> list[list[str]]:
    """Return the last operations on a workload, newest first: each with what ran before it.

    :param seen: the workload.
    """
    try:
        noted = json.loads(seen.annotations.get(OPERATIONS, "[]"))
        return [[str(operation), str(before)] for operation, before in noted]
    except (ValueError, TypeError, RecursionError):  # somebody else's
        return []


def wanted_images(image: object, images: object, tag: object, container: object) -> dict[str, str]:
    """Return the images that a user asks for, by container: as `resolved_images` takes them.

    :param image: an image.
    :param images: an image by the container's name.
    :param tag: a tag, or a digest that begins with ``sha256:``.
    :param container: the container that ``image`` or ``tag`` is for.
    :raises InputError: one of them is unusable.
    """
    name = "" if container is None else checked("container", container)
    if images is not None:
        if not isinstance(images, Mapping):
            raise InputError("images", f"must be a mapping by container, not {images!r:.100}.")
        return {
            (name and checked("images", name)): _image("images", image)
            for name, image in images.items()
        }
    if tag is not None:
        text = checked("tag", tag)
        if text.startswith("sha256:"):
            return {name: f"@{text}"}
        if not re.fullmatch(r"\w[\w.-]{0,127}", text, re.ASCII):
            raise InputError("tag", f"{text!r} is no tag: give the tag alone, without the image.")
        return {name: f":{text}"}
    return {name: _image("image", image)}


def _image(field_name: str, value: object) -> str:
    text = checked(field_name, value)
    if text in (":", "@") or "," in text or "=" in text:
        raise InputError(field_name, f"{text!r} is no image.")
    return text


def resolved_images(images: Mapping[str, str], seen: Workload) -> dict[str, str]:
    """Return which image each container is to get.

    :param images: the image by the container's name. Without a name, it is the workload's only
        container, or that which has the workload's own name. An image that begins with ``:`` or
        ``@`` is a tag or a digest, of the image that the container has.
    :param seen: the workload.
    :raises InputError: there is no such container.
    """
    found = seen.images
    made = {}
    for name, image in images.items():
        container = name or _main_container(seen)
        if container not in found:
            raise InputError(
                "container" if name else "image",
                f"{seen.kind} {seen.name} has no container {container!r}. "
                f"There are: {', '.join(found)}.",
            )
        made[container] = f"{repository(found[container])}{image}" if image[0] in ":@" else image
    return made


def _main_container(seen: Workload) -> str:
    names = list(seen.images)
    if len(names) == 1:
        return names[0]
    if seen.name in names:
        return seen.name
    raise InputError(
        "container",
        f"{seen.kind} {seen.name} has several containers, and none of its own name: say which. "
        f"There are: {', '.join(names)}.",
    )


def repository(image: str) -> str:
    """Return an image without its tag and digest.

    :param image: as ``registry:5000/shop/web:1.0@sha256:…``.
    """
    name = image.partition("@")[0]
    # A colon before the last slash is that of a port.
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


def release_text(images: Mapping[str, str], seen: Workload) -> str:
    """Return which images a workload has, of the containers that a change is about.

    If they are those that the change asks for, they are named as it names them: there is nothing
    else to go back to, and that is seen by comparing the two.

    :param images: what the change asks for.
    :param seen: the workload.
    """
    wanted = resolved_images(images, seen) if images else {}
    running = {name: seen.images[name] for name in wanted}
    return join_images(images if running == wanted else running)


def join_images(images: Mapping[str, str]) -> str:
    """Return images by container as one text: ``web=registry/web:1.0,proxy=registry/proxy:2``.

    :param images: the image by the container's name.
    """
    parts = sorted(images.items())
    return ",".join(f"{name}={image}" if name else image for name, image in parts)


def split_images(text: str) -> dict[str, str]:
    """Return images by container from their text.

    :param text: as `join_images` gives it.
    """
    parts = (one.partition("=") for one in text.split(",") if one)
    return {name: image for name, _, image in parts}
