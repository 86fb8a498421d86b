"""How the sandbox's world behaves where the contract leaves it open.

Each of the contract's undocumented assumptions is an option here, so that a test can make it false.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

Moment = Literal["accepted", "started", "ended", "never"]

# The world's last moment, in Unix seconds (about the year 9000). No number that is set here or by
# the clock goes beyond it: each of them may end up in a date, and a date ends with the year 9999.
LAST_MOMENT = 221_845_392_000.0


@dataclass(frozen=True)
class Options:
    """The settings of a world. All times are in seconds.

    :param revision: ``2015``, the API's page as it was then; or ``2018``, the later service: states
        of apps and actions in lower case, ``app_runtime.id``, ``config.expose_ports``, a build's
        ``branch`` instead of ``ref``, and the ``later`` fields of build flows.
    :param speed: divides the durations of actions and builds; 10 is ten times as fast.
    :param rate_limit: calls that a token has in one window.
    :param rate_window: length of that window; the service's is an hour.
    :param action_seconds: how long an action takes; ``None``: until it is ended by hand.
    :param action_spread: up to this much is added to it, at random.
    :param action_polls: actions end after this many reads instead of after a time.
    :param pending_seconds: how long a build stays ``Pending``.
    :param build_seconds: how long a build then stays ``Started``.
    :param begin_after: how long after its acceptance an action begins.
    :param action_lag: how long after its acceptance an action, or a build alone, still answers 404.
    :param busy: an action on an app or a stack on which another one runs is refused (``refuse``),
        begins when the other has ended (``queue``), or runs beside it (``both``).
    :param busy_status: the status of that refusal.
    :param last_operated_at: the moment of an action at which the field moves.
    :param last_operated_at_delay: how much later than that moment it can be seen.
    :param last_operated_at_granularity: the field is cut to a multiple of this; the page's samples
        show whole seconds.
    :param app_list: ``live``, or ``frozen``: the entries never change again.
    :param app_list_lag: the list shows the apps as they were so long ago.
    :param transitional_states: whether an app shows a state like ``RESTAGING`` during an action.
    :param build_flow_fields: ``page``, or ``later``: later revisions of the page dropped
        ``src_language``, and from the list ``src_origin_url`` too.
    :param package_id_moves: the builds that give a flow a new ``package_id``.
    :param state_case: letter case of all states; ``page`` writes them as the revision does.
    :param state_words: other words for states, by the page's word:
        ``{"Cancelled": "Canceled", "SUCCESS": "done"}``.
    :param accept_form: take a redeploy's ``release_name`` (or a build's ``branch``) from a form
        too, as the Python sample of the page sends it. By default it is a 406.
    :param strict_content_type: refuse, with a 406, a JSON body that is not labelled
        ``application/json``. By default whatever a JSON parser takes is taken.
    :param later_calls: answer what later revisions of the page have, builds and stacks; an older
        installation answers 404 to them.
    """

    revision: Literal[2015, 2018] = 2015
    speed: float = 1.0
    rate_limit: int = 5000
    rate_window: float = 3600.0
    action_seconds: float | None = 5.0
    action_spread: float = 0.0
    action_polls: int | None = None
    pending_seconds: float = 2.0
    build_seconds: float = 10.0
    begin_after: float = 0.0
    action_lag: float = 0.0
    busy: Literal["refuse", "queue", "both"] = "queue"
    busy_status: int = 409
    last_operated_at: Moment = "accepted"
    last_operated_at_delay: float = 0.0
    last_operated_at_granularity: float = 1.0
    app_list: Literal["live", "frozen"] = "live"
    app_list_lag: float = 0.0
    transitional_states: bool = True
    build_flow_fields: Literal["page", "later"] = "page"
    package_id_moves: Literal["success", "every_build", "never"] = "success"
    state_case: Literal["page", "lower", "upper", "title"] = "page"
    state_words: dict[str, str] = field(default_factory=dict)
    accept_form: bool = False
    strict_content_type: bool = False
    later_calls: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("speed", "rate_window"):
            if getattr(self, name) == 0:
                raise ValueError(f"option {name} is more than zero")
        if self.last_operated_at_granularity < 1e-6:
            raise ValueError("option last_operated_at_granularity is a microsecond or more")
        if not 400 <= self.busy_status <= 499:
            raise ValueError("option busy_status is a refusal: 400 to 499")

    def changed(self, **changes: Any) -> Options:
        """Return these options with some of them changed.

        :raises ValueError: an unknown option, or a value that it does not take.
        """
        if unknown := changes.keys() - get_type_hints(Options).keys():
            raise ValueError(f"no such option: {', '.join(sorted(unknown))}")
        return dataclasses.replace(self, **changes)

    def spell(self, state: str, *, page_case: Literal["page", "lower"] = "page") -> str:
        """Return a state as this world writes it.

        :param state: the state, as the page writes it.
        :param page_case: the letter case in which the revision has it.
        """
        word = self.state_words.get(state, state)
        case = page_case if self.state_case == "page" else self.state_case
        return word if case == "page" else str(getattr(word, case)())

    @property
    def usual_case(self) -> Literal["page", "lower"]:
        """The letter case of apps' and actions' states in this revision; builds never change."""
        return "lower" if self.revision == 2018 else "page"


def check_fields(record: Any, *, leave_out: tuple[str, ...] = ()) -> None:
    """Check the fields of a dataclass against their annotations.

    What is set here often comes from a shell's JSON, where a wrong value must not surface later.

    :raises ValueError: a field does not take its value; it is named.
    """
    for name, kind in get_type_hints(type(record)).items():
        if name not in leave_out and not fits(getattr(record, name), kind):
            raise ValueError(f"{name} does not take {getattr(record, name)!r}")


def fits(value: object, kind: Any) -> bool:
    """Say whether a value is of an annotated kind, and can be shown.

    Numbers are not negative and not beyond :data:`LAST_MOMENT`; text can be written as UTF-8.
    """
    if get_origin(kind) is Literal:
        return value in get_args(kind) and not isinstance(value, bool)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(
            fits(item, str) for pair in value.items() for item in pair
        )
    if get_origin(kind) is list:
        return isinstance(value, list) and all(fits(item, get_args(kind)[0]) for item in value)
    if args := get_args(kind):
        return any(fits(value, arg) for arg in args)
    if kind in (int, float):
        numbers = int if kind is int else (int, float)
        if isinstance(value, bool) or not isinstance(value, numbers):
            return False
        return 0 <= value <= LAST_MOMENT
    return isinstance(value, kind) and (kind is not str or encodable(value))


def encodable(text: str) -> bool:
    """Say whether text can be sent. JSON can spell half of a surrogate pair, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
