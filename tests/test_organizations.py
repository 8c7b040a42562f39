"""The key of an organization: every request names the account and the version, and a key without them is
refused in one line."""

from typing import Any

import pytest

from sandbox.stripe import PLATFORM, StripeServer, World
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.versions import LATEST
from source_stripe_native.config import Advanced
from source_stripe_native.errors import scrub
from tests.capture import Capture
from tests.test_permissions import refusal
from tests.test_streams import ALL, differences

VERSION = LATEST
"""In which the world's objects are shown as they are."""


def capture_of(server: StripeServer, key: str | None = None, **options: Any) -> Capture:
    advanced = {"api_version": VERSION, "stripe_context": PLATFORM} | options.pop("advanced", {})
    return Capture(
        server, key=key or server.world.keys.organization(), config={"advanced": advanced}, **options
    )


@pytest.mark.parametrize("connected", [False, True])
async def test_a_capture_with_an_organizations_key_has_all_that_one_with_the_accounts_key_has(
    world: World, server: StripeServer, connected: bool
) -> None:
    for account in (PLATFORM, *(world.connect(controller={"type": "application"})["id"] for _ in range(2))):
        for kind in ("customer", "card", "price", "invoice", "file"):
            for _ in range(12):
                world.create(kind, account, event=False)
    names = ["Customers", "Cards", "Prices", "Invoices", "InvoiceLineItems", "Files", "Accounts"]
    capture = capture_of(server, streams=names, connected=connected)

    def differing(changed: bool) -> list[str]:
        return [each for name in names if (each := differences(capture, name, connected, changed=changed))]

    await capture.session(lambda: not differing(changed=False))
    world.clock.advance(10)
    for account in world.accounts:
        world.create("customer", account)
        world.update("price", world.list_all("price", account)[0]["id"], account, nickname="new")
    world.clock.advance(120)
    await capture.session(lambda: not differing(changed=True))
    assert {each.version for each in server.journal} == {VERSION}
    assert {each.account for each in server.journal} == (set(world.accounts) if connected else {PLATFORM})


async def test_a_connected_account_can_be_read_by_the_path_that_leads_to_it(
    world: World, server: StripeServer
) -> None:
    account = world.connect()["id"]
    made = world.create("customer", account, event=False)["id"]
    world.create("customer", event=False)
    capture = capture_of(server, streams=["Customers"], advanced={"stripe_context": f"{PLATFORM}/{account}"})
    await capture.validate()
    await capture.backfill()
    assert {key: each["account_id"] for key, each in capture.last("Customers").items()} == {made: account}


async def test_a_platforms_key_reads_a_connected_account_by_its_context(
    world: World, server: StripeServer
) -> None:
    account = world.connect()["id"]
    made = world.create("customer", account, event=False)["id"]
    capture = capture_of(server, world.key, streams=["Customers"], advanced={"stripe_context": account})
    await capture.session(lambda: made in capture.last("Customers"))
    assert {each["account_id"] for each in capture.last("Customers").values()} == {account}


@pytest.mark.parametrize("verb", ["discover", "validate", "session"])
@pytest.mark.parametrize("missing", ["stripe_context", "api_version"])
@pytest.mark.parametrize("blank", [None, "", " "])
async def test_an_organizations_key_without_account_or_version_is_refused_without_a_request(
    server: StripeServer, caplog: pytest.LogCaptureFixture, verb: str, missing: str, blank: str | None
) -> None:
    capture = capture_of(server, streams=["Customers"], advanced={missing: blank})
    line = await refusal(capture, caplog, verb)
    assert "sk_org_test_sandbox" not in line
    assert line.startswith(
        "credentials.access_token is the key of an organization, which needs an account and"
    )
    assert "advanced.stripe_context" in line
    assert "advanced.api_version" in line
    assert not server.journal.visits("/v1/account")


@pytest.mark.parametrize("verb", ["discover", "validate", "session"])
@pytest.mark.parametrize("context", ["acct_nobody", f"acct_nobody/{PLATFORM}", f"{PLATFORM}/acct_nobody"])
async def test_a_context_that_the_key_may_not_read_is_said_in_one_line(
    server: StripeServer, caplog: pytest.LogCaptureFixture, verb: str, context: str
) -> None:
    capture = capture_of(server, streams=["Customers"], advanced={"stripe_context": context})
    line = await refusal(capture, caplog, verb)
    assert "sk_org_test_sandbox" not in line
    assert line.startswith(
        f"advanced.stripe_context {context} is no account that the key may read: set it to"
    )


async def test_a_connected_account_alone_is_no_context_of_an_organizations_key(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    account = world.connect()["id"]
    capture = capture_of(server, streams=["Customers"], advanced={"stripe_context": account})
    line = await refusal(capture, caplog, "validate")
    assert "or to the path from there to a connected account" in line
    assert "sk_org_test_sandbox" not in line


@pytest.mark.parametrize("context", ["cus_1", "acct_1/", "/acct_1", "acct_1\r\nX: y", "acct_1/../acct_2", 7])
def test_a_context_that_is_no_path_of_accounts_is_refused(context: object) -> None:
    with pytest.raises(ValueError, match="stripe_context"):
        Advanced.model_validate({"stripe_context": context})


async def test_an_organizations_key_is_probed_for_permissions_since_its_name_does_not_tell(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    known = frozenset(row.readable_with for row in KINDS.values())
    key = world.keys.organization(known - {"price"})
    found = {each["recommendedName"] for each in await capture_of(server, key).discover()}
    assert set(ALL) - found == {"Prices"}


def test_an_organizations_key_is_blanked_out_of_every_text() -> None:
    for key in ("sk_org_live_51Abc", "sk_org_test_51Abc", "sk_org_51Abc"):
        assert "51Abc" not in scrub(f"key {key} is wrong")
