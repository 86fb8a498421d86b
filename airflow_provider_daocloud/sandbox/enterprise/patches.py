"""The three kinds of patches that Kubernetes knows. Pure: an object and a patch in, a copy out."""

from __future__ import annotations

import copy
from typing import Any

# Lists that a strategic merge patch merges by a key of their items. All others are replaced.
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
}
_DIRECTIVES = ("$patch", "$retainKeys")


class PatchError(ValueError):
    """A patch that cannot be applied; the text says why."""


def apply(kind: str, value: Any, patch: Any) -> Any:
    """Return an object with a patch applied.

    :param kind: ``strategic``, ``merge`` or ``json``.
    :param value: the object.
    :param patch: the patch.
    :raises PatchError: the patch is of another kind, or does not fit the object.
    """
    if kind == "json":
        return _json_patch(value, patch)
    if not isinstance(patch, dict):
        raise PatchError("the patch is not a JSON object")
    return _merged(value, patch) if kind == "merge" else _strategic(value, patch)


def _merged(value: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    made = dict(value) if isinstance(value, dict) else {}
    for name, new in patch.items():
        if new is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), new)
    return made


def _strategic(value: Any, patch: dict[str, Any]) -> Any:
    directive = patch.get("$patch")
    if directive == "replace":
        return {name: copy.deepcopy(new) for name, new in patch.items() if name not in _DIRECTIVES}
    made = dict(value) if isinstance(value, dict) else {}
    for name, new in patch.items():
        if name in _DIRECTIVES or name.startswith("$setElementOrder/"):
            continue
        if new is None:
            made.pop(name, None)
        elif isinstance(new, dict):
            made[name] = _strategic(made.get(name), new)
        elif isinstance(new, list) and name in _MERGE_KEYS:
            made[name] = _merged_list(name, made.get(name), new)
        else:
            made[name] = copy.deepcopy(new)
    return made


def _merged_list(name: str, old: Any, new: list[Any]) -> list[Any]:
    key = _MERGE_KEYS[name]
    made = list(old) if isinstance(old, list) else []
    for item in new:
        if not isinstance(item, dict):
            raise PatchError(f"{name}: not a list of objects")
        if item.get("$patch") == "replace":
            return [one for one in new if one is not item]
        if key not in item:
            raise PatchError(f"{name}: an item has no merge key {key}")
        same = [n for n, one in enumerate(made) if one.get(key) == item[key]]
        if item.get("$patch") == "delete":
            made = [one for one in made if one.get(key) != item[key]]
        elif same:
            made[same[0]] = _strategic(made[same[0]], item)
        else:
            made.append(_strategic({}, item))
    return made


def _json_patch(value: Any, patch: Any) -> Any:
    if not isinstance(patch, list):
        raise PatchError("the patch is not a list of operations")
    made = copy.deepcopy(value)
    for operation in patch:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise PatchError("an operation has no path")
        parts = [p.replace("~1", "/").replace("~0", "~") for p in operation["path"].split("/")[1:]]
        if not parts:
            raise PatchError("an operation on the whole object")
        try:
            _operate(made, parts, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PatchError(f"{operation['path']}: cannot be done here") from error
    return made


def _operate(made: Any, parts: list[str], operation: dict[str, Any]) -> None:
    place = made
    for part in parts[:-1]:
        place = place[int(part)] if isinstance(place, list) else place[part]
    last: Any = parts[-1]
    if isinstance(place, list):
        last = len(place) if last == "-" else int(last)
    match operation.get("op"):
        case "add" if isinstance(place, list):
            place.insert(last, copy.deepcopy(operation["value"]))
        case "add":
            place[last] = copy.deepcopy(operation["value"])
        case "replace":
            place[last]  # must be there
            place[last] = copy.deepcopy(operation["value"])
        case "remove":
            del place[last]
        case "test":
            if place[last] != operation["value"]:
                raise ValueError("differs")
        case _:
            raise ValueError("no such operation")
