from __future__ import annotations

import hypothesis
import pytest

from tests.support.servers import Certificate

# Machines are noisy: how long an example takes says nothing about the code.
hypothesis.settings.register_profile(
    "untimed",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def no_netrc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's .netrc out of the tests."""
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that nobody trusts yet."""
    return Certificate(tmp_path_factory.mktemp("certificate"))
