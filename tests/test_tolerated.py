"""What the log says of a refusal that is tolerated: what Stripe answered, and no advice for an error that
ends a capture, since the capture goes on."""

import ast
import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.cli.survey import survey
from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import OF_STATUS, StripeError
from source_stripe_native.models import Charges
from source_stripe_native.scheduling.pauses import Pauses, Unit
from source_stripe_native.stripe.client import StripeSession
from tests.capture import UNLIMITED, Capture
from tests.soak import ROOT

LOG: Final = logging.getLogger("flow")
OLDER: Final = "2022-11-15"
"""What an event of this version carries is read again."""


def refuse(server: StripeServer, path: str = "*", **options: Any) -> None:
    """An answer that no row of the table knows."""
    server.faults.set(Fault(path, **{"status": 422, "message": "No luck", **options}))


def capture_of(server: StripeServer, streams: list[str], **options: Any) -> Capture:
    return Capture(server, streams, level=logging.DEBUG, **options)


async def changed_object(world: World, server: StripeServer) -> None:
    charge = world.create("charge", event=False)["id"]
    capture = await capture_of(server, ["Charges"]).backfill()
    world.tell("charge.updated", "charge", charge, api_version=OLDER)
    refuse(server, f"*/{charge}")
    await capture.catch_up()


async def children_of_a_changed_object(world: World, server: StripeServer) -> None:
    capture = await capture_of(server, ["InvoiceLineItems"]).backfill()
    world.create("invoice", lines=12)
    refuse(server, "/v1/invoices/*/lines")
    await capture.catch_up()


async def holder_of_discounts(world: World, server: StripeServer) -> None:
    discount = {"coupon": world.create("coupon", event=False)["id"]}
    invoice = world.create("invoice", event=False, discounts=[discount])["id"]
    capture = await capture_of(server, ["Discounts"]).backfill()
    world.tell("invoice.updated", "invoice", invoice, api_version=OLDER)
    refuse(server, f"*/{invoice}")
    await capture.catch_up()


async def objects_of_a_changed_object(world: World, server: StripeServer) -> None:
    customer = world.create("customer", event=False)["id"]
    capture = await capture_of(server, ["EntitlementsActiveEntitlements"]).backfill()
    world.announce(
        "entitlements.active_entitlement_summary.updated",
        {"object": "entitlements.active_entitlement_summary", "customer": customer, "entitlements": {}},
    )
    refuse(server, "/v1/entitlements/*")
    await capture.catch_up()


async def owner_of_a_field(world: World, server: StripeServer) -> None:
    world.create("checkout.session", line_items=1, event=False)
    refuse(server, "/v1/prices/*")
    await capture_of(server, ["CheckoutSessionsLine"]).backfill()


async def expansion(world: World, server: StripeServer) -> None:
    world.create("coupon", event=False)
    refuse(server, "/v1/coupons", query="expand", param="expand[0]")
    await capture_of(server, ["Coupons"]).backfill()


async def list_of_test_clocks(world: World, server: StripeServer) -> None:
    refuse(server, "/v1/test_helpers/test_clocks")
    await capture_of(server, ["Customers"]).backfill()


async def list_that_was_cut(world: World, server: StripeServer) -> None:
    account = world.connect()["id"]
    for _ in range(12):
        world.create("external_card", account, event=False)
    refuse(server, "/v1/accounts/*/external_accounts")
    await capture_of(server, ["Accounts"], connected=True).backfill()


async def what_the_platform_may_not_read(world: World, server: StripeServer) -> None:
    world.connect()
    refuse(server, "/v1/reviews", account=PLATFORM)
    key = world.restrict({"account", "event", "review"})
    await capture_of(server, ["Reviews"], connected=True, key=key).discover()


async def account_that_is_paused(world: World, server: StripeServer) -> None:
    account = world.connect()["id"]
    refuse(server, "/v1/charges")
    async with StripeSession(world.key, base=server.url, settings=UNLIMITED) as http:
        with pytest.raises(StripeError) as refused:
            await http.get(LOG, "/v1/charges", account_id=account)
        await Pauses(http, LOG, PLATFORM).pause(Unit("Charges", account), refused.value)


async def list_that_cannot_be_counted(world: World, server: StripeServer) -> None:
    refuse(server, "/v1/charges")
    config = EndpointConfig.model_validate({"credentials": {"access_token": world.key}})
    async with StripeSession(world.key, base=server.url, settings=UNLIMITED) as http:
        await survey(http, LOG, config, [Charges])


TOLERATED: Final[list[Callable[[World, StripeServer], Awaitable[None]]]] = [
    changed_object,
    children_of_a_changed_object,
    holder_of_discounts,
    objects_of_a_changed_object,
    owner_of_a_field,
    expansion,
    list_of_test_clocks,
    list_that_was_cut,
    what_the_platform_may_not_read,
    account_that_is_paused,
    list_that_cannot_be_counted,
]


@pytest.mark.parametrize("tolerated", TOLERATED, ids=lambda each: each.__name__)
async def test_the_log_has_the_answer_and_no_advice(
    world: World,
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    tolerated: Callable[[World, StripeServer], Awaitable[None]],
) -> None:
    with caplog.at_level(logging.DEBUG, "flow"):
        await tolerated(world, server)
    lines = [f"{each.getMessage()} {each.args}" for each in caplog.records]
    # Beside the line of the request itself.
    assert [each for each in lines if "Stripe answered 422" in each and "No luck" in each]
    for row in OF_STATUS:
        assert not [each for each in lines if row.advice in each]


LEVELS: Final = frozenset({"debug", "info", "warning", "error", "log", "status"})
ENDS: Final = frozenset({"log_lines.py", "__main__.py", "connector.py", "commands.py", "config_file.py"})
"""Where an error that ends the capture, or a command, is written with its advice."""


def with_advice(tree: ast.AST) -> Iterator[int]:
    """The lines where an error of Stripe that was caught becomes a text, or where a logger is handed an error
    as it is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            caught = ast.unparse(node.type)
            text = "\n".join(map(ast.unparse, node.body))
            if "Error" in caught and re.search(rf"(\b(str|repr)\(|{{){node.name}(\)|}}|!)", text):
                yield node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            given = ast.unparse(ast.Tuple([*node.args, *(each.value for each in node.keywords)]))
            is_log = node.func.attr in LEVELS and "log" in ast.unparse(node.func.value)
            if is_log and re.search(r"(\bstr\(|\{|[\[,:] |(?<!\w)\()error[]}),!]", given):
                yield node.lineno


def test_no_error_that_is_tolerated_is_told_with_its_advice() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in Path(ROOT, "source_stripe_native").rglob("*.py")
        if path.name not in ENDS
        for line in with_advice(ast.parse(path.read_text()))
    }
    assert found == set()


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("try: x\nexcept StripeError as error:\n  about = {'error': str(error)}", True),
        ("try: x\nexcept (StripeError, OSError) as refused:\n  told = f'no: {refused}'", True),
        ("log.warning(f'paused: {error}')", True),
        ("self._log.info('no list', {'error': error})", True),
        ("try: x\nexcept StripeError as error:\n  log.info(f'no: {error.answer}')", False),
        ("log.log(INFO if GONE.matches(error) else WARNING, error.specific)", False),
    ],
)
def test_the_rule_finds_each_way_to_tell_it(code: str, is_found: bool) -> None:
    assert bool([*with_advice(ast.parse(code))]) == is_found
