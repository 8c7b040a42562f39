import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from estuary_cdk.logger import FlowLogger
from hypothesis import settings

from sandbox.stripe import StripeServer, World
from source_stripe_native.stripe.client import API_BASE_VARIABLE

# How long a case takes says nothing on a machine that does other things too.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# As the connector's process does first, whichever test comes first.
logging.setLoggerClass(FlowLogger)

NOW = 1_780_000_000
"""When the tests' worlds stand still: 2026-05-28T20:26:40Z."""


@pytest.fixture
def world() -> World:
    return World(now=NOW, unordered=True)


@pytest.fixture
async def server(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StripeServer]:
    async with StripeServer(world) as serving:
        monkeypatch.setenv(API_BASE_VARIABLE, serving.url)
        yield serving


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds waited between attempts, of which only a hundredth passes."""
    made: list[float] = []
    sleep = asyncio.sleep

    async def shortened(delay: float, result: object = None) -> object:
        if delay != 0:
            made.append(delay)
        return await sleep(delay / 100, result)

    monkeypatch.setattr(asyncio, "sleep", shortened)
    return made
