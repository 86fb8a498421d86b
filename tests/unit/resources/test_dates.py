"""When the date of a last operation must have moved, if there was another one."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_daocloud.core.submission.evidence import Snapshot
from airflow_provider_daocloud.resources.openapi.actions import operation_would_show

GRAINS = (1, 2, 5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600, 86400)


@given(
    grain=st.sampled_from(GRAINS),
    operated=st.integers(1_700_000_000, 1_900_000_000),
    seen_after=st.integers(0, 200_000),
    acted_after=st.floats(0, 100_000),
)
def test_equal_dates_prove_nothing_if_they_could_be_cut_alike(
    grain: int, operated: int, seen_after: int, acted_after: float
) -> None:
    """However coarse the field is: where an action must move it, it does."""
    seen_at = operated + seen_after
    shown = operated // grain * grain
    before = _before(shown, float(seen_at))
    if operation_would_show(before):
        assert (seen_at + acted_after) // grain * grain != shown


def test_an_old_date_would_move() -> None:
    """A day suffices for any grain; for a date with seconds one second does."""
    assert operation_would_show(_before(1_799_971_200, 1_799_971_200.0 + 86400))
    assert operation_would_show(_before(1_800_000_007, 1_800_000_008.0))


def test_without_a_date_or_a_clock_nothing_would_surely_move() -> None:
    assert not operation_would_show(Snapshot({"last_operated_at": None}, 1_800_000_000.0))
    assert not operation_would_show(
        Snapshot({"last_operated_at": "2027-01-14T08:00:07+00:00"}, None)
    )
    assert not operation_would_show(Snapshot({"last_operated_at": "yesterday"}, 1_800_000_000.0))


def _before(operated: int, seen_at: float) -> Snapshot:
    return Snapshot({"last_operated_at": _date(operated)}, seen_at)


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
