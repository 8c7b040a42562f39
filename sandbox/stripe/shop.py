"""A small shop with two years of history, for demonstrations: it sells coffee, alone and by subscription, and
something of every other kind that there is has happened to it too.

The same for a seed, down to ids and amounts: only its times are relative to the present. Customers, what they
buy and the shop's payouts are told as a story; all other kinds come from the table of kinds, so that a new
kind is in the shop without a word here. Time only goes forward, as events must tell the last of each object.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.kinds.core import RETENTION
from sandbox.stripe.world import RARE, World

_DAY = 24 * 3600
_DAYS = 730
_SETTLED = 60
"""The day from which on there is something to refer to."""
_OTHERS = 5
"""Objects of each kind that the story leaves out."""
_EDITS = 3
"""Changes of any objects on each day whose events Stripe still has."""

_PRODUCTS = ("House Blend", "Single Origin", "Decaf", "Espresso Roast", "Filter Papers", "Hand Grinder")
_AMOUNTS = (1290, 1890, 1390, 1490, 490, 8900)
_SUBSCRIBED = 4
"""How many products, the first ones, can be had by subscription too."""
_FIRST = ("Ada", "Ben", "Chloe", "Dan", "Eva", "Finn", "Grace", "Hugo", "Ines", "Jon", "Kim", "Lena", "Max")
_LAST = ("Adams", "Berg", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Horn", "Jones", "Kaya", "Lopez")
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_TOLD = frozenset(
    (
        *(
            "account",
            "balance_transaction",
            "charge",
            "checkout.session",
            "customer",
            "event",
            "invoice",
            "item",
        ),
        *("line_item", "payment_intent", "payment_method", "payout", "price", "product", "subscription"),
        "subscription_item",
    )
)
"""The kinds of the story, and those that come with anything."""


class Shop:
    """A world with `days` of history until now. `connected` accounts come with it, with an object of each
    kind, and customers under `test_clocks`. See `World` for `options`."""

    def __init__(
        self, seed: int = 0, connected: int = 0, test_clocks: int = 0, days: int = _DAYS, **options: Any
    ) -> None:
        self.world = World(seed, effects=True, **options)
        self._rng = Random(seed)
        self._end = self.world.clock.now()
        self._days = days
        self._at = self._end - days * _DAY
        self._prices: list[Json] = []
        self._subscribers: list[str] = []
        self._renewals: dict[int, list[str]] = {}
        """Subscriptions by the day on which they renew."""
        self._plans: dict[str, Json] = {}
        """The price of each subscription."""
        self._earned = 0
        self._charges: list[str] = []
        self._open()
        self._rest = [row.name for row in KINDS.values() if row.name not in _TOLD and not row.holders]
        """The kinds that the story leaves out. Discounts need a holder."""
        others = self._others()
        for day in range(days):
            self._at = max(self._at, self._end - (days - day) * _DAY)
            self._trade(day)
            for row in others.get(day, ()):
                self._make_any(row)
            if self._is_recent():
                for _ in range(_EDITS):
                    self._edit_any()
        for _ in range(connected):
            self._connect()
        for _ in range(test_clocks):
            self._simulate()

    def live(self) -> None:
        """One more change, now."""
        self._at = max(self._at, self.world.clock.now())
        deeds: Sequence[tuple[Callable[[], Any], int]] = (
            (lambda: self._buy(self._customer()), 2),
            (self._subscribe, 1),
            (lambda: self._buy(self._anyone()), 3),
            (self._renew_any, 3),
            (self._refund, 1),
            (self._reprice, 1),
            (lambda: self.world.random_change(self._rng, self._rest), 4),
        )
        weights = [weight for _, weight in deeds]
        self._rng.choices([deed for deed, _ in deeds], weights)[0]()

    # The story

    def _open(self) -> None:
        for place, (name, amount) in enumerate(zip(_PRODUCTS, _AMOUNTS, strict=True)):
            product = self._make("product", name=name, description=f"{name}, from our roastery")["id"]
            sold: Json = {"product": product, "currency": "eur", "unit_amount": amount}
            self._prices.append(self._make("price", **sold, nickname=name))
            if place < _SUBSCRIBED:
                monthly = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}
                self._prices.append(
                    self._make("price", **sold, nickname=f"{name}, monthly", recurring=monthly)
                )
        for percent in (10, 25):
            self._make("coupon", id=f"WELCOME{percent}", name=f"{percent} % off", percent_off=percent)

    def _trade(self, day: int) -> None:
        growth = 0.15 + 0.45 * day / self._days
        if self._rng.random() < growth:
            if self._rng.random() < 0.5:
                self._subscribe()
            else:
                self._buy(self._customer())
        if self._rng.random() < growth and self._charges:
            self._buy(self._anyone())
        for subscription in self._renewals.pop(day, ()):
            self._renew(subscription, day)
        if self._charges and self._rng.random() < 0.02:
            self._refund()
        if self._charges and self._rng.random() < 0.01:
            self.world.open_dispute(self._rng.choice(self._charges[-20:]), **self._when())
        if day % 180 == 90:
            self._reprice()
        if day % 7 == 6 and self._earned > 0:
            self._pay_out()

    def _customer(self) -> str:
        first, last = self._rng.choice(_FIRST), self._rng.choice(_LAST)
        email = f"{first}.{last}{self._rng.randrange(100)}@example.com".lower()
        fields: Json = {"name": f"{first} {last}", "email": email, "currency": "eur"}
        customer = str(self._make("customer", **fields)["id"])
        self._make("payment_method", customer=customer)
        return customer

    def _anyone(self) -> str:
        return self._rng.choice(list(self.world.table("customer").by_id))

    def _buy(self, customer: str) -> None:
        price = self._rng.choice([each for each in self._prices if not each["recurring"]])
        quantity = self._rng.choice((1, 1, 1, 2, 3))
        amount = price["unit_amount"] * quantity
        intent = self._pay(customer, amount, price["nickname"])
        session = self._make(
            "checkout.session", customer=customer, payment_intent=intent, line_items=0, mode="payment"
        )["id"]
        total: Json = {"amount_subtotal": amount, "amount_total": amount}
        self._make("item", session=session, price=price, quantity=quantity, **total)

    def _subscribe(self) -> None:
        customer = self._customer()
        price = self._rng.choice([each for each in self._prices if each["recurring"]])
        subscription = str(self._make("subscription", customer=customer, currency="eur", items=0)["id"])
        self._make("subscription_item", subscription=subscription, price=price)
        self._plans[subscription] = price
        self._subscribers.append(subscription)
        if self._rng.random() < 0.2:
            coupon = self._rng.choice(("WELCOME10", "WELCOME25"))
            self.world.discount(customer, coupon, subscription, **self._when())
        self._renew(subscription, self._days - (self._end - self._at) // _DAY)

    def _renew(self, subscription: str, day: int) -> None:
        """Bills a month of a subscription, or cancels it."""
        if self._rng.random() < 0.04:
            self._subscribers.remove(subscription)
            self.world.delete("subscription", subscription, **self._when())
            return
        customer, price = self.world.get("subscription", subscription)["customer"], self._plans[subscription]
        invoice = str(
            self._make(
                "invoice", customer=customer, currency="eur", billing_reason="subscription_cycle", lines=0
            )["id"]
        )
        line: Json = {"amount": price["unit_amount"], "description": price["nickname"], "currency": "eur"}
        self._make("line_item", invoice=invoice, subscription=subscription, **line)
        for status in ("open", "paid"):
            if status == "paid":
                self._pay(customer, price["unit_amount"], price["nickname"])
            self.world.update("invoice", invoice, **self._when(), status=status)
        self._renewals.setdefault(day + 30, []).append(subscription)

    def _renew_any(self) -> None:
        if self._subscribers:
            self._renew(self._rng.choice(self._subscribers), self._days)

    def _pay(self, customer: str, amount: int, what: str) -> str:
        """A payment that succeeds, now and then after a card was declined. Gives its payment intent."""
        money: Json = {"amount": amount, "currency": "eur", "customer": customer, "description": what}
        method = next(iter(self.world.table("payment_method").children.get(customer, ())), None)
        money["payment_method"] = method.id if method else None
        intent = str(self._make("payment_intent", **money)["id"])
        if self._rng.random() < 0.06:
            self._make("charge", **money, payment_intent=intent, status="failed", paid=False, captured=False)
        paid: Json = {"payment_intent": intent, "status": "succeeded", "captured": True}
        charge = str(self._make("charge", **money, **paid)["id"])
        fee = 25 + amount * 15 // 1000
        kept = self._make("balance_transaction", amount=amount, currency="eur", fee=fee, source=charge)
        self.world.update("charge", charge, **self._when(), balance_transaction=kept["id"])
        done: Json = {"status": "succeeded", "amount_received": amount, "latest_charge": charge}
        self.world.update("payment_intent", intent, **self._when(), **done)
        self._earned += amount - fee
        self._charges.append(charge)
        return intent

    def _refund(self) -> None:
        charge = self.world.get("charge", self._rng.choice(self._charges[-30:]))
        if not charge["refunded"]:
            fields: Json = {"amount": charge["amount"] - charge["amount_refunded"], "currency": "eur"}
            self._make("refund", charge=charge["id"], reason=self._rng.choice(_REASONS), **fields)

    def _reprice(self) -> None:
        """Puts a dearer price in place of one, which is archived."""
        place = self._rng.randrange(len(self._prices))
        old = self._prices[place]
        kept: Json = {name: old[name] for name in ("product", "currency", "nickname", "recurring")}
        self._prices[place] = self._make("price", **kept, unit_amount=old["unit_amount"] + 100)
        self.world.archive("price", old["id"], **self._when())

    def _pay_out(self) -> None:
        payout = self._make("payout", amount=self._earned, currency="eur", status="paid")["id"]
        of_type: Json = {"type": "payout", "reporting_category": "payout", "fee": 0}
        self._make("balance_transaction", amount=-self._earned, currency="eur", source=payout, **of_type)
        self._earned = 0

    # All the rest

    def _others(self) -> dict[int, list[Kind]]:
        """What to make of the rest, by day."""
        days: dict[int, list[Kind]] = {}
        for name in self._rest:
            for day in self._rng.sample(range(_SETTLED, self._days), _OTHERS):
                days.setdefault(day, []).append(KINDS[name])
        return days

    def _make_any(self, row: Kind, account: str | None = None) -> None:
        """An object of a kind by its row alone."""
        fields: Json = (
            dict(self._rng.choice(row.variants)) if self._rng.random() < RARE and row.variants else {}
        )
        home = account or self.world.platform
        link = row.parent
        if link and link.field != "account":  # by that name goes whose the object is
            parents = [id for id, entry in self.world.table(link.kind, home).by_id.items() if entry.listed]
            if parents:
                fields[link.field] = self._rng.choice(parents)
        self._make(row.name, account, **fields)

    def _edit_any(self) -> None:
        """A change of an object, such that Stripe tells it by an event."""
        row = KINDS[self._rng.choice(sorted(KINDS))]
        objects = self.world.list_all(row.name) if row.name != "account" else []
        if objects:
            data = self.world.whole(row.name, self._rng.choice(objects)["id"])
            if edits := row.edits(data, self._rng):
                self.world.update(row.name, data["id"], **self._when(), **self._rng.choice(edits))

    def _connect(self) -> None:
        """A connected account, with one object of each kind."""
        account = str(self.world.connect(created=self._at)["id"])
        for row in KINDS.values():
            if row.name not in ("account", "event") and not row.holders:
                self._make_any(row, account)

    def _simulate(self) -> None:
        """A customer with a subscription whose time is a test clock's."""
        clock = self._make("test_helpers.test_clock")["id"]
        customer = self._make("customer", test_clock=clock)["id"]
        self._make("subscription", customer=customer, test_clock=clock)

    # Time

    def _make(self, kind: str, account: str | None = None, **fields: Any) -> Json:
        return self.world.create(kind, account, **self._when(), **fields)

    def _when(self) -> Json:
        """When the next change happens, seconds after the last, and whether its event is still there."""
        self._at = min(self._at + self._rng.randrange(1, 90), max(self._at, self.world.clock.now()))
        return {"at": self._at, "event": self._is_recent()}

    def _is_recent(self) -> bool:
        return self._at > self._end - RETENTION
