import asyncio
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator

import aiohttp.connector
import pytest
from estuary_cdk.logger import FlowLogger
from hypothesis import settings

from sandbox.stripe import StripeServer, World
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.warm_python import warm_python

# How long a case takes says nothing on a machine that does other things too.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# About a hundred processes are started, each of which would compile the connector anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Nor has the local Stripe a certificate: each process would read those of all authorities.
os.environ.setdefault("SSL_CERT_FILE", os.devnull)
# No name is looked up, so that no session needs the resolver that reads the system's configuration first.
aiohttp.connector.DefaultResolver = aiohttp.ThreadedResolver  # type: ignore[attr-defined]  # not in __all__
# The CDK insists on its own class of the logger "flow", whichever test is the first to ask for that logger.
logging.setLoggerClass(FlowLogger)

NOW = 1_780_000_000
"""When the tests' worlds stand still: 2026-05-28T20:26:40Z."""


def pytest_configure(config: pytest.Config) -> None:
    """Start one warm Python for all workers, before they are started."""
    if config.getoption("numprocesses", None):
        warm_python()


def pytest_sessionstart() -> None:
    """Name what a new stream lacks, instead of tests by the hundred that fail for it."""
    gc.disable()  # what is imported and collected stays to the end

    from sandbox.stripe.kinds import KINDS
    from source_stripe_native.models import STREAMS
    from tests.tables import forgotten, missing_entries
    from tests.test_streams import HELD

    if missing := [*forgotten(STREAMS), *missing_entries(STREAMS, HELD, KINDS)]:
        raise pytest.UsageError(*missing)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays to the end: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()
    gc.enable()


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
