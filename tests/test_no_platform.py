"""An account that is no Connect platform: Stripe refuses it every list of accounts, and it is captured as
itself."""

from typing import Final

import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.models import STREAMS
from tests.capture import Capture

OF_ACCOUNTS: Final = [row for row in STREAMS if row.ARE_ACCOUNTS or (row.PARENT and row.PARENT.ARE_ACCOUNTS)]


@pytest.fixture(autouse=True)
def _refuses_accounts(server: StripeServer) -> None:
    message = "Only Stripe Connect platforms can work with other accounts."
    server.faults.set(Fault("/v1/accounts*", status=403, code="platform_account_required", message=message))


@pytest.mark.parametrize("is_restricted", [False, True])
async def test_an_account_that_is_no_platform_is_captured_as_itself(
    world: World, server: StripeServer, is_restricted: bool
) -> None:
    key = world.restrict(kind.readable_with for kind in KINDS.values()) if is_restricted else world.key
    capture = Capture(server, [row.NAME for row in OF_ACCOUNTS], key=key)
    assert {each["recommendedName"] for each in await capture.discover()} >= set(capture.streams)
    await capture.backfill()
    await capture.catch_up()
    assert set(capture.last("Accounts")) == {PLATFORM}
    assert {stream for stream, _ in capture.documents} == {"Accounts"}


async def test_to_ask_for_its_connected_accounts_is_a_mistake_in_the_config(
    server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        await Capture(server, ["Accounts"], connected=True).session()
    assert "turn capture_connected_accounts off" in caplog.text
