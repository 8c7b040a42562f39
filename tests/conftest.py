from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import settings

from sandbox.stripe import StripeServer, World
from source_stripe_native import http, resources

# How long a case takes says nothing on a machine that does other things too.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

NOW = 1_780_000_000
"""When the tests' worlds stand still: 2026-05-28T20:26:40Z."""


@pytest.fixture(autouse=True)
def _no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox has no rate limit to keep to, and a test should not wait for one."""
    for name in ("REQUESTS_PER_ENDPOINT", "REQUESTS_LIVE", "REQUESTS_TEST"):
        monkeypatch.setattr(http, name, 100_000)
    monkeypatch.setattr(resources, "FLUSH", timedelta(milliseconds=20))


@pytest.fixture
def world() -> World:
    return World(now=NOW, unordered=True)


@pytest.fixture
async def server(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StripeServer]:
    async with StripeServer(world) as serving:
        monkeypatch.setenv(http.API_BASE_VARIABLE, serving.url)
        yield serving
