"""A small shop with two years of history, for demonstrations: it sells coffee, alone and by subscription, and
something of every other kind that there is has happened to it too.

The same for a seed, down to ids and amounts: only its times are relative to the present. What it sells is
invoiced, paid, refunded, disputed and paid out by the same rules as what a client asks for, so that its books
add up. All other kinds come from the table of kinds, so that a new kind is in the shop without a word here.
Time only goes forward, as events must tell the last of each object.
"""

import heapq
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.kinds.core import RETENTION
from sandbox.stripe.rules import Act, billing, cards, checkout, invoices, payments
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
_RATES = {"eur": 1.0, "usd": 1.1, "jpy": 1.6}
"""What a euro's cent is in the smallest units of the currencies that the shop sells in."""
_SUBSCRIBED = 3
"""How many products, the first ones, can be had by subscription too."""
_FIRST = ("Ada", "Ben", "Chloe", "Dan", "Eva", "Finn", "Grace", "Hugo", "Ines", "Jon", "Kim", "Lena", "Max")
_LAST = ("Adams", "Berg", "Costa", "Diaz", "Evans", "Fischer", "Garcia", "Horn", "Jones", "Kaya", "Lopez")
_VAT = 20
"""The percentage of tax that the prices of an office's invoice include."""
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
_CARDS = ("visa", "visa", "visa", "mastercard", "mastercard_debit", "amex", "fr", "jp")
_TOLD = frozenset(
    (
        *(
            "account",
            "balance_transaction",
            "charge",
            "checkout.session",
            "credit_note",
            "credit_note_line_item",
        ),
        *("customer", "customer_balance_transaction", "dispute", "event", "invoice", "invoice_payment"),
        *("invoiceitem", "item", "line_item", "paid_balance_transaction", "payment_intent", "payment_method"),
        *("payout", "price", "product", "refund", "subscription", "subscription_item"),
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
        self._agenda: list[tuple[int, str]] = []
        """When something happens to each subscription next."""
        self._charges: list[str] = []
        self._customers: list[str] = []
        self._leases: list[str] = []
        """The customers who lease a machine, which is paid by its use."""
        self._open()
        self._rest = sorted(row.name for row in KINDS.values() if row.name not in _TOLD and not row.holders)
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
        self._renew(self._end)
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
            for currency, rate in _RATES.items():
                sold: Json = {"product": product, "currency": currency, "unit_amount": round(amount * rate)}
                self._prices.append(self._make("price", **sold, nickname=name))
                if place < _SUBSCRIBED:
                    monthly = {"interval": "month", "interval_count": 1, "usage_type": "licensed"}
                    self._prices.append(
                        self._make("price", **sold, nickname=f"{name}, monthly", recurring=monthly)
                    )
        self._meter = str(self._make("billing.meter", display_name="Cups")["id"])
        product = self._make("product", name="Leased machine")["id"]
        used = {"interval": "month", "interval_count": 1, "usage_type": "metered", "meter": self._meter}
        self._leased = self._make("price", product=product, currency="eur", unit_amount=10, recurring=used)
        self._tax_rate = str(
            self._make("tax_rate", display_name="VAT", percentage=_VAT, inclusive=True)["id"]
        )
        for percent in (10, 25):
            lasting: Json = {"duration": "repeating", "duration_in_months": 3} if percent == 10 else {}
            self._make(
                "coupon", id=f"WELCOME{percent}", name=f"{percent} % off", percent_off=percent, **lasting
            )

    def _trade(self, day: int) -> None:
        chance, growth = self._rng.random, 0.1 + 0.3 * day / self._days
        if chance() < growth:
            if chance() < 0.5:
                self._subscribe()
            else:
                self._buy(self._customer())
        if chance() < growth and self._customers:
            self._buy(self._anyone())
        if self._agenda and chance() < growth:
            self._reconsider(self._rng.choice(self._agenda)[1])
        if self._charges and chance() < 0.02:
            self._refund()
        plans: dict[int, Callable[[int], None]] = {
            5: self._refund,
            10: self._please,
            15: self._send,
            20: self._dispute,
            25: self._lease,
        }
        planned = plans.get((day - self._days) % 30)
        if planned and self._charges and self._agenda:
            planned(day // 30)
        if day % 180 == 90:
            self._reprice()
        if day % 7 == 6:
            for currency in _RATES:
                if made := payments.pay_out(self._act(), currency, arrival_date=self._at + 2 * _DAY):
                    done = {"status": "paid", "reconciliation_status": "completed"}
                    self._act().change("payout", made["id"], **done)

    def _customer(self) -> str:
        first, last = self._rng.choice(_FIRST), self._rng.choice(_LAST)
        email = f"{first}.{last}{self._rng.randrange(100)}@example.com".lower()
        currency = self._rng.choices(list(_RATES), (7, 2, 1))[0]
        fields: Json = {"name": f"{first} {last}", "email": email, "currency": currency}
        customer = str(self._make("customer", **fields)["id"])
        self._pay_with(customer, self._rng.choice(_CARDS))
        self._customers.append(customer)
        return customer

    def _pay_with(self, customer: str, card: str) -> None:
        made = cards.make_method(self._act(), cards.CARDS[card], customer=customer)
        settings = {"default_payment_method": made["id"]}
        self._act().change("customer", customer, invoice_settings=settings)

    def _anyone(self) -> str:
        return self._rng.choice(self._customers)

    def _price(self, customer: str, *, recurring: bool) -> Json:
        currency = self.world.get("customer", customer)["currency"]
        sold = [each for each in self._prices if each["currency"] == currency]
        return self._rng.choice([each for each in sold if bool(each["recurring"]) == recurring])

    def _buy(self, customer: str) -> None:
        """By Checkout, now and then after a card was declined."""
        act, price = self._act(), self._price(customer, recurring=False)
        quantity = self._rng.choice((1, 1, 1, 2, 3))
        session = checkout.start(act, [{"price": price["id"], "quantity": quantity}], customer=customer)
        attempts = [cards.CARDS["chargeDeclinedInsufficientFunds"]] if self._rng.random() < 0.06 else []
        for card in attempts:
            self._try(checkout.complete, act, session["id"], cards.make_method(act, card))
        method = self.world.get("customer", customer)["invoice_settings"]["default_payment_method"]
        if self._try(checkout.complete, self._act(), session["id"], act.get("payment_method", method)):
            paid = act.get("checkout.session", session["id"])
            self._charges.append(act.get("payment_intent", paid["payment_intent"])["latest_charge"])

    def _try(self, deed: Callable[..., Any], *given: Any) -> bool:
        """Whether something was done. A card may be declined."""
        try:
            deed(*given)
        except StripeError:
            return False
        return True

    def _subscribe(self) -> None:
        customer = self._customer()
        fields: Json = {}
        price = self._price(customer, recurring=True)
        if self._rng.random() < 0.2:
            coupon = self._rng.choice(("WELCOME10", "WELCOME25"))
            fields["coupons"] = [{"source": {"coupon": coupon, "type": "coupon"}}]
        if self._rng.random() < 0.15:
            fields["trial_end"] = self._at + 14 * _DAY
        items = [{"price": price["id"], "quantity": self._rng.choice((1, 1, 2))}]
        self._plan(billing.subscribe(self._act(), customer, items, **fields)["id"])

    def _plan(self, subscription: str) -> None:
        if time := billing.due(self._act(), subscription):
            heapq.heappush(self._agenda, (time, subscription))

    def _renew(self, until: int) -> None:
        """All that is due to subscriptions by then."""
        while self._agenda and self._agenda[0][0] <= until:
            time, subscription = heapq.heappop(self._agenda)
            act = Act(self.world, self.world.platform, time, time > self._end - RETENTION)
            billing.step(act, subscription)
            self._plan_from(act, subscription)

    def _plan_from(self, act: Act, subscription: str) -> None:
        if time := billing.due(act, subscription):
            heapq.heappush(self._agenda, (max(time, act.at), subscription))
        latest = act.get("subscription", subscription)["latest_invoice"]
        if latest and (payment := invoices.payment_of(act, latest)):
            charge = act.get("payment_intent", payment["payment"]["payment_intent"])["latest_charge"]
            if charge and act.get("charge", charge)["paid"]:
                self._charges.append(charge)

    def _reconsider(self, subscription: str) -> None:
        """A subscriber wants more, a break, or no more; or has a card that will fail."""
        act, data = self._act(), self.world.get("subscription", subscription)
        if data["status"] != "active" or data["cancel_at"]:
            return
        want = self._rng.choices(("stay", "more", "pause", "go", "lapse"), (60, 12, 8, 16, 4))[0]
        if want == "more":
            self._extend(act, data)
        elif want == "pause":
            paused = None if data["pause_collection"] else {"behavior": "void", "resumes_at": None}
            act.change("subscription", subscription, pause_collection=paused)
        elif want == "go" and self._rng.random() < 0.5:
            billing.cancel(act, subscription)
        elif want == "go":
            billing.end_with_period(act, subscription, ends=True)
        elif want == "lapse":
            self._pay_with(data["customer"], "chargeCustomerFail")

    def _please(self, _turn: int) -> None:
        """A subscriber gets a bigger bag, and something back on the next invoice."""
        for _, subscription in sorted(self._agenda, key=lambda _: self._rng.random()):
            data = self.world.get("subscription", subscription)
            if data["status"] == "active":
                self._extend(self._act(), data)
                off: Json = {"amount": -300, "currency": data["currency"]}
                self._make("customer_balance_transaction", customer=data["customer"], **off)
                return

    def _extend(self, act: Act, subscription: Json) -> None:
        (item,) = act.of("subscription_item", subscription["id"])
        if item["price"]["id"] == self._leased["id"]:
            return
        price = self._price(subscription["customer"], recurring=True)
        change = {"id": item["id"], "price": price["id"], "quantity": item["quantity"] + 1}
        billing.change_items(act, subscription["id"], [change], "create_prorations")

    def _send(self, turn: int) -> None:
        """An invoice for an office, by mail, now and then with something taken back."""
        customer = self._anyone()
        price = self._price(customer, recurring=False)
        line = invoices.line_of(price, 5, 5 * price["unit_amount"], self._at, self._at)
        act = self._act()
        sent: Json = {"collection_method": "send_invoice", "currency": price["currency"]}
        invoice = invoices.draft(act, customer, [line], due_date=act.at + 14 * _DAY, **sent)
        act.change("invoice", invoice["id"], **self._taxes(invoice["total"]))
        invoices.finalize(act, invoice["id"])
        if self._rng.random() < 0.8:
            method = invoices.method_for(act, invoice)
            self._try(invoices.pay, self._act(), invoice["id"], method)
        if turn % 2:
            lines = [{"unit_amount": price["unit_amount"]}]
            invoices.credit(self._act(), invoice["id"], lines, **self._taxes(price["unit_amount"]))

    def _taxes(self, total: int) -> Json:
        """What an invoice or a credit note says of the tax in its total."""
        tax = round(total * _VAT / (100 + _VAT))
        shown: Json = {"amount": tax, "tax_behavior": "inclusive", "taxable_amount": total - tax}
        shown |= {"tax_rate_details": {"tax_rate": self._tax_rate}, "type": "tax_rate_details"}
        shown["taxability_reason"] = "standard_rated"
        return {"total_excluding_tax": total - tax, "total_taxes": [shown]}

    def _lease(self, _turn: int) -> None:
        """One more leased machine, and a day's use of all that are leased."""
        customer = self._customer()
        self._plan(billing.subscribe(self._act(), customer, [{"price": self._leased["id"]}])["id"])
        self._leases.append(customer)
        day = self._at - self._at % _DAY - _DAY
        for each in self._leases:
            used: Json = {
                "start_time": day,
                "end_time": day + _DAY,
                "aggregated_value": self._rng.randrange(400),
            }
            id = f"mtrusg_{each}_{self._meter}_{day}"
            self._make("billing.meter_event_summary", id=id, meter=self._meter, **used)

    def _refund(self, _turn: int = 0) -> None:
        charge = self.world.get("charge", self._rng.choice(self._charges[-30:]))
        left = charge["amount"] - charge["amount_refunded"]
        if left and not charge["disputed"]:
            part = left if self._rng.random() < 0.7 else max(left // 2, 1)
            payments.refund(self._act(), charge, part, reason=self._rng.choice(_REASONS))

    def _dispute(self, turn: int) -> None:
        """Half of them are won, half lost. The last one, of ten days before the end, is still open."""
        charges = [self.world.get("charge", each) for each in self._charges[-30:]]
        charge = self._rng.choice([each for each in charges if not (each["disputed"] or each["refunded"])])
        reason = self._rng.choice(("fraudulent", "product_not_received"))
        made = payments.dispute(self._act(), charge, reason)
        if self._at < self._end - 20 * _DAY:
            payments.end_dispute(self._act(), made["id"], won=turn % 2 == 1)

    def _reprice(self) -> None:
        """Puts a dearer price in place of one, which is archived."""
        place = self._rng.randrange(len(self._prices))
        old = self._prices[place]
        kept: Json = {name: old[name] for name in ("product", "currency", "nickname", "recurring")}
        self._prices[place] = self._make("price", **kept, unit_amount=old["unit_amount"] + 100)
        self._act().change("price", old["id"], active=False)

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
        """A change of an object, such that Stripe tells it by an event; what the story is about only gets a
        note."""
        row = KINDS[self._rng.choice(sorted(KINDS))]
        objects = self.world.list_all(row.name) if row.name != "account" else []
        if not objects:
            return
        data = self.world.whole(row.name, self._rng.choice(objects)["id"])
        edits = row.edits(data, self._rng)
        if row.name in _TOLD:
            edits = [each for each in edits if each.keys() == {"metadata"}]
        if edits:
            self._act().change(row.name, data["id"], **self._rng.choice(edits))

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
        act = self._act()
        return self.world.create(kind, account, at=act.at, event=act.told, **fields)

    def _act(self) -> Act:
        """When the next change happens, seconds after the last, and whether its event is still there."""
        self._at = min(self._at + self._rng.randrange(1, 90), max(self._at, self.world.clock.now()))
        self._renew(self._at)
        return Act(self.world, self.world.platform, self._at, self._is_recent())

    def _is_recent(self) -> bool:
        return self._at > self._end - RETENTION
