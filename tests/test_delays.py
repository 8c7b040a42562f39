"""A binding that is long behind says so, and why."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from estuary_cdk.capture.common import ResourceState

from sandbox.stripe import Fault, StripeServer, World
from source_stripe_native.backfill.progress import Progress
from source_stripe_native.capture.summary import WatchedStream
from source_stripe_native.settings import DEFAULTS
from tests.capture import UNLIMITED, Capture
from tests.test_documents import logged

SOON = replace(
    UNLIMITED,
    rereads_at_once=1,
    late_after=timedelta(milliseconds=100),
    first_summary=timedelta(milliseconds=60),
    summary_interval=timedelta(milliseconds=60),
)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_binding_that_reads_many_objects_again_says_why_it_is_behind(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, connected: bool
) -> None:
    ids = [world.create("charge", event=False)["id"] for _ in range(3)]
    capture = await Capture(server, ["Charges"], connected=connected, settings=SOON).backfill()
    assert not logged(caplog, " behind ")
    for each in ids:
        world.tell("charge.updated", "charge", each, api_version="2022-11-15")
    server.faults.set(Fault("/v1/charges/*", latency=0.2))
    world.clock.advance(600)
    await capture.catch_up()
    lines = [each.getMessage() for each in logged(caplog, " behind ")]
    assert all("; Charges is " in each for each in lines)
    assert any("1 objects whose events are in another API version" in each for each in lines)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_binding_in_time_says_nothing(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, connected: bool
) -> None:
    settings = replace(SOON, late_after=DEFAULTS.late_after)
    capture = await Capture(server, ["Charges"], connected=connected, settings=settings).backfill()
    for _ in range(3):
        world.create("charge")
        await capture.catch_up()
    assert not logged(caplog, " behind ")


def test_a_look_is_about_the_time_since_the_last_one() -> None:
    stream = WatchedStream("Prices", ResourceState(), Progress(logging.getLogger("test"), 0, 0))
    assert stream.look(DEFAULTS.late_after) is None

    def look(late: timedelta = timedelta(minutes=14)) -> str:
        stream.waiting = lambda: late
        found = stream.look(DEFAULTS.late_after)
        return found.words() if found else ""

    assert look() == "Prices is 14 minutes behind (no request was answered)"
    stream.workload.requests += 90
    stream.workload.rereads["objects whose events lack fields"] += 80
    assert look() == (
        "Prices is 14 minutes behind (90 requests were answered, something was read again for 80 objects "
        "whose events lack fields)"
    )
    stream.workload.requests += 1
    assert look() == "Prices is 14 minutes behind (1 request was answered)"
    assert look(timedelta(minutes=10)) == ""
