"""Changes that no event of an object's own tells, for the worlds of the soak.

A stream's row says where a capture finds them: in a list (`POLLS`, `RELIST`, `SNAPSHOTS`, and
`SHOWS_DELETIONS` for deletions), or by the event of another object. Only such changes are made here; the
world makes those that an object's own event tells (`World.random_change`).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any, Final

from sandbox.stripe import World
from sandbox.stripe.kinds import KINDS
from tests.capture import ROWS, Json
from tests.test_further_streams import COME_WITH_PARENT
from tests.test_streams import HELD

DAY: Final = 86_400

TOLD_BY_PARENT: Final[Mapping[str, str]] = {
    "financial_connections.account_owner": "financial_connections.account.refreshed_ownership",
    "financial_connections.transaction": "financial_connections.account.refreshed_transactions",
    "paid_balance_transaction": "payout.reconciliation_completed",
    "payment_intent_amount_details_line_item": "payment_intent.updated",
    "payment_link_item": "payment_link.updated",
}
"""Kinds whose changes an event of the parent tells, by its type."""
MADE_THERE: Final = frozenset(("balance", "billing.meter_event_summary"))
"""Kinds whose objects are made in a way of their own."""
OWN_WAY: Final = MADE_THERE | COME_WITH_PARENT
"""Kinds that the world is not to change at random."""

STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "balance_transaction": ("pending", "available"),
    "billing.alert": ("active", "inactive"),
    "billing.feedback_option": ("active", "inactive"),
    "invoice_rendering_template": ("active", "archived"),
    "issuing.physical_bundle": ("active", "inactive"),
    "tax.registration": ("active", "expired"),
    "terminal.reader": ("online", "offline"),
    "treasury.transaction": ("open", "posted"),
    "webhook_endpoint": ("enabled", "disabled"),
}
"""Kinds with a status that changes without an event, to and fro."""
FIXED: Final = frozenset(("apps.secret", "balance_transaction", "paid_balance_transaction"))
"""Kinds of which nothing else changes so."""


def _text(_: Any, number: int) -> Any:
    return f"edit {number}"


COMPARED: Final[Mapping[str, Json]] = {"invoiceitem": {"invoice": None}}
"""Kinds of which only those with these fields change so."""


FIELDS: Final[Mapping[str, Callable[[Any, int], Any]]] = {
    **dict.fromkeys(
        ("description", "display_name", "label", "metric_tons_available", "name", "title"), _text
    ),
    **dict.fromkeys(("active", "enabled", "requested"), lambda value, _: not value),
    "balance": lambda _, number: {"cash": {"usd": number}},
    "default_currency": lambda _, number: ("eur", "usd", "gbp")[number],
    "metadata": lambda _, number: {"edit": str(number)},
    "quantity": lambda _, number: number + 1,
    "rates": lambda _, number: {"usd": number},
    "verification": lambda _, number: {"verified_name": f"edit {number}"},
}
"""Fields that change without an event, and their next value, of few: some changes lead back."""
VALUES: Final = 3

SOLD: Final = (
    ("subscription_item", "price.id"),
    ("line_item", "pricing.price_details.price"),
    ("item", "price.id"),
)
"""Where the inline prices are, which no list has: the kinds of what was sold, and the place of the price."""

Deed = Callable[[str], None]
"""A change in the account with this id."""


class Untold:
    """Makes such changes of the objects of `streams`."""

    is_told = False
    """Whether events of other objects tell of the changes: not before the capture begins."""

    def __init__(self, world: World, rng: Random, streams: Iterable[str]) -> None:
        self._world, self._rng = world, rng
        own_ways: dict[str, Deed] = {
            "Balances": self._move_balance,
            "BillingMeterEventSummaries": self._use,
            "EntitlementsActiveEntitlements": self._entitle,
            "InlinePrices": self._sell,
            "PaymentAttemptRecords": self._pay,
            "PaymentRecords": self._pay,
        }
        self._own_ways = {each: own_ways[each] for each in streams if each in own_ways}
        self._deeds = {each: deed for each in streams if (deed := self._deed_of(each)) is not None}

    @property
    def streams(self) -> set[str]:
        """The streams that it changes."""
        return {*self._deeds}

    def change(self) -> None:
        """One of the changes that there can be."""
        stream, deed = self._rng.choice(list(self._deeds.items()))
        scope = HELD[stream].scope
        accounts = {"platform": self._world.accounts[:1], "connected": self._world.accounts[1:]}
        if among := accounts.get(scope, self._world.accounts):
            deed(self._rng.choice(among))

    def populate(self, account: str, each: int) -> None:
        """What only this module makes, `each` times."""
        for deed in self._own_ways.values():
            for _ in range(each):
                deed(account)

    def _deed_of(self, stream: str) -> Deed | None:
        row = ROWS[stream]
        if HELD[stream].kind in TOLD_BY_PARENT:
            return partial(self._along_with_parent, HELD[stream].kind)
        silently = partial(self._silently, stream) if row.SNAPSHOTS or row.RELIST else None
        return self._own_ways.get(stream, silently)

    def _some(self, kind: str, account: str, having: Json | None = None) -> Json | None:
        """Any of the account's objects of a kind, of those with the fields that it is to have."""
        wanted = (having or {}).items()
        found = [each for each in self._world.list_all(kind, account) if wanted <= each.items()]
        return self._rng.choice(found) if found else None

    # What lists show

    def _silently(self, stream: str, account: str) -> None:
        """An edit, a deletion where the row says that it is seen, or a new object."""
        row, kind = ROWS[stream], HELD[stream].kind
        deed = self._rng.choices(("edit", "delete", "create"), (4, 2, 2))[0]
        found = self._some(kind, account, COMPARED.get(kind))
        if found is not None and deed == "delete" and row.SHOWS_DELETIONS:
            self._world.delete(kind, found["id"], account, event=False)
        elif found is not None and deed == "edit" and (edits := self._edits(kind, found)):
            self._world.update(kind, found["id"], account, event=False, **self._rng.choice(edits))
        elif row.SNAPSHOTS or row.POLLS:
            self._create(kind, account)

    def _edits(self, kind: str, found: Json) -> list[Json]:
        number = self._rng.randrange(VALUES)
        fields = [] if kind in FIXED else [each for each in FIELDS if each in found]
        edits = [{each: FIELDS[each](found[each], number)} for each in fields]
        if kind in STATUSES:
            edits.append({"status": self._rng.choice(STATUSES[kind])})
        return edits

    def _create(self, kind: str, account: str) -> str | None:
        """Makes an object under any parent there is; the parent's id."""
        link, fields = KINDS[kind].parent, dict[str, Any]()
        if link is not None and link.kind != "account" and (parent := self._some(link.kind, account)):
            fields[link.argument] = parent["id"]
        made = self._world.create(kind, account, event=False, **fields)["id"]
        return self._world.table(kind, account).by_id[made].parent

    # What another object's event tells

    def _along_with_parent(self, kind: str, account: str) -> None:
        """A new child, or an edit of one, and the event of its parent."""
        link = KINDS[kind].parent
        assert link is not None
        found = self._some(kind, account) if self._rng.random() < 0.5 else None
        parent = self._world.table(kind, account).by_id[found["id"]].parent if found else None
        if found is not None and (edits := self._edits(kind, found)):
            self._world.update(kind, found["id"], account, event=False, **self._rng.choice(edits))
        else:
            parent = self._create(kind, account)
        if parent is not None and parent in self._world.table(link.kind, account).by_id:
            self._world.tell(TOLD_BY_PARENT[kind], link.kind, parent, account)

    def _entitle(self, account: str) -> None:
        """A customer gets an entitlement, or loses one: a summary of all of them tells."""
        kind = "entitlements.active_entitlement"
        customer = self._some("customer", account)
        if customer is None:
            return

        def shown() -> list[Json]:
            children = self._world.table(kind, account).children.get(customer["id"], [])
            return [each.data() for each in reversed(children)]

        before = shown()
        if before and self._rng.random() < 0.3:
            self._world.delete(kind, self._rng.choice(before)["id"], account, event=False)
        else:
            self._world.create(kind, account, customer=customer["id"], event=False)
        now = shown()
        summary: Json = {
            "object": "entitlements.active_entitlement_summary",
            "customer": customer["id"],
            "entitlements": {"object": "list", "data": now[:10], "has_more": len(now) > 10},
        }
        told: Json = {"entitlements": {"data": before[:10], "has_more": len(before) > 10}}
        if self.is_told:
            type = "entitlements.active_entitlement_summary.updated"
            self._world.announce(type, summary, account, previous=told)

    # What no list has as it is

    def _move_balance(self, account: str) -> None:
        event = self.is_told and self._rng.random() < 0.5
        self._world.balance(account)
        money: Any = [{"amount": self._rng.randrange(VALUES), "currency": "usd", "source_types": {}}]
        (balance,) = self._world.list_all("balance", account)
        self._world.update("balance", balance["id"], account, event=event, available=money)

    def _pay(self, account: str) -> None:
        """A new payment with an attempt, or a change of one: the event of its payment intent tells of a
        payment by Stripe."""
        world, create = self._world, partial(self._world.create, account=account)
        record = self._some("payment_record", account) if self._rng.random() < 0.7 else None
        if record is None:
            record = create("payment_record", event=False)
            create("payment_attempt_record", payment_record=record["id"], event=False)
            return
        if record["reported_by"] == "stripe" and not self.is_told:
            return
        changed: Json = {"metadata": {"edit": str(self._rng.randrange(VALUES))}}
        world.update("payment_record", record["id"], account, event=False, **changed)
        if record["reported_by"] == "stripe":
            create("payment_attempt_record", payment_record=record["id"], event=False)
            create("payment_intent", payment_record=record["id"], event=True)

    def _use(self, account: str) -> None:
        """A customer's use of a meter on this day or the last one, which Stripe computes late."""
        world, rng = self._world, self._rng
        found = self._some("billing.meter_event_summary", account) if rng.random() < 0.7 else None
        meter, customer = (found["meter"], customer_of(found)) if found else self._subscribe(account)
        day = (world.clock.now() // DAY - rng.randrange(2)) * DAY
        id = f"mtrusg_{customer}_{meter}_{day}"
        if id in world.table("billing.meter_event_summary", account).by_id:
            used: Json = {"aggregated_value": rng.randrange(VALUES)}
            world.update("billing.meter_event_summary", id, account, event=False, **used)
            return
        fields: Json = {"meter": meter, "start_time": day, "end_time": day + DAY}
        world.create("billing.meter_event_summary", account, id=id, event=False, **fields)

    def _subscribe(self, account: str) -> tuple[str, str]:
        """A new meter, and a customer with a subscription to a price by it."""
        create = partial(self._world.create, account=account, event=self.is_told)
        meter, customer = create("billing.meter")["id"], create("customer")["id"]
        recurring: Json = {"interval": "month", "usage_type": "metered", "meter": meter}
        price = create("price", recurring=recurring)
        subscription = create("subscription", customer=customer, items=0)["id"]
        create("subscription_item", subscription=subscription, price=price)
        return meter, customer

    def _sell(self, account: str) -> None:
        """Something at a price of its own, in any of three ways. The event of what it was sold with tells."""
        world, event = self._world, self.is_told
        create = partial(world.create, account=account, event=event)
        # The world would take the rest of a hash from the price that it made last.
        price = create("price", listed=False, active=False, metadata={"edit": "none"})
        way = self._rng.choice(("subscription", "invoice", "session"))
        if way == "subscription":
            create("subscription_item", price=price)
        elif way == "invoice":
            details: Json = {"price": price["id"], "product": price["product"]}
            invoice = create("invoice", lines=0)["id"]
            create("line_item", invoice=invoice, pricing={"type": "price_details", "price_details": details})
        else:
            # Nobody completes a session that cannot be found yet: the price would be nowhere to be read.
            session = create("checkout.session", line_items=0, listed_after=0)["id"]
            create("item", session=session, price=price)
            world.update("checkout.session", session, account, event=event, status="complete")


def customer_of(summary: Json) -> str:
    """Whose use of a meter a summary is: its id has the customer's in it."""
    return str(summary["id"].removeprefix("mtrusg_").split(f"_{summary['meter']}_")[0])
