"""Subscriptions and their time: periods, trials, renewals, failed payments, upgrades, schedules, clocks.

`due` gives the next time at which something happens to a subscription by itself, `step` lets it happen. A
test clock and the shop of the demo both go from one to the next.
"""

import heapq
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from sandbox.stripe import errors
from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json
from sandbox.stripe.kinds.derived import templates
from sandbox.stripe.rules import invoices, payments
from sandbox.stripe.rules.act import Act, Write
from sandbox.stripe.rules.selling import amount_of, end_of, price_of

_DAY: Final = 24 * 3600
_WARNED: Final = 3 * _DAY
"""How long before its end a trial is announced to end."""
_EXPIRING: Final = 7 * _DAY
_ENDED: Final = ("canceled", "incomplete_expired")
_IDLE: Final = (*_ENDED, "paused", "incomplete")


# A subscription's life


def subscribe(act: Act, customer: str, items: Sequence[Mapping[str, Any]], **fields: Any) -> Json:
    """A new subscription with its first invoice, which is paid if it can be."""
    act = act.under(act.get("customer", customer)["test_clock"])
    prices = [price_of(act, each) for each in items]
    trial_end, behavior = fields.pop("trial_end", None), fields.pop("payment_behavior", None)
    fields |= {
        "currency": prices[0]["currency"],
        "items": 0,
        "billing_cycle_anchor": trial_end or act.at,
        "test_clock": act.clock,
    }
    if trial_end:
        fields |= {"trial_start": act.at, "trial_end": trial_end}
    status = "trialing" if trial_end else "incomplete"
    coupons = fields.pop("coupons", [])
    made = act.make("subscription", customer=customer, status=status, event=False, **fields)
    for item, price in zip(items, prices, strict=True):
        _add_item(act, made["id"], item, price, trial_end)
    for coupon in coupons:
        act.make("discount", customer=customer, subscription=made["id"], **coupon)
    _bill(act, made["id"], "subscription_create", behavior)
    if trial_end and trial_end - act.at <= _WARNED:
        act.tell("customer.subscription.trial_will_end", "subscription", made["id"])
    return act.get("subscription", made["id"])


def _add_item(act: Act, id: str, item: Mapping[str, Any], price: Json, until: int | None = None) -> None:
    recurring = price["recurring"]
    if recurring is None:
        raise StripeError(
            400,
            "The price specified is set to `type=one_time` but this field only accepts prices with "
            "`type=recurring`.",
        )
    metered = recurring["usage_type"] == "metered"
    shown: Json = {"metadata": dict(item.get("metadata") or {})}
    if not metered:
        shown["quantity"] = item.get("quantity", 1)
    end = until or end_of(act.at, recurring["interval"], recurring["interval_count"])
    period: Json = {"current_period_start": act.at, "current_period_end": end}
    act.make("subscription_item", subscription=id, price=price, event=False, **shown, **period)


def _items(act: Act, id: str) -> list[Json]:
    return act.of("subscription_item", id)


def _lines(act: Act, subscription: Json) -> list[Json]:
    """What the items cost for the periods that begin; nothing in a trial."""
    lines = []
    for item in _items(act, subscription["id"]):
        if item["current_period_start"] != act.at:
            continue
        price, quantity = item["price"], item.get("quantity") or 0
        free = subscription["status"] == "trialing"
        amount = 0 if free else amount_of(act, price, quantity)
        of = {"subscription": subscription["id"], "subscription_item": item["id"]}
        period = item["current_period_start"], item["current_period_end"]
        lines.append(invoices.line_of(price, quantity, amount, *period, of=of))
    return lines


def _discounts(act: Act, subscription: Json, first: bool) -> list[str]:
    """Those that still count: once, for some months, or for ever."""
    found = []
    for id in subscription["discounts"]:
        coupon = act.get("coupon", act.get("discount", id)["source"]["coupon"])
        months = (coupon["duration_in_months"] or 0) * 30 * _DAY
        lasts = coupon["duration"] == "forever" or act.at < subscription["start_date"] + months
        found += [id] if first or lasts else []
    return found


def _bill(act: Act, id: str, reason: str, behavior: str | None = None) -> None:
    """The invoice of the items' periods. One of a renewal stays a draft for an hour."""
    subscription = act.get("subscription", id)
    created = reason == "subscription_create"
    sent = subscription["collection_method"] == "send_invoice"
    fields: Json = {"billing_reason": reason, "collection_method": subscription["collection_method"]}
    fields |= {
        "currency": subscription["currency"],
        "parent": invoices.of_subscription(id),
        "auto_advance": True,
    }
    if subscription["days_until_due"]:
        fields["due_date"] = act.at + subscription["days_until_due"] * _DAY
    if not created:
        fields["automatically_finalizes_at"] = act.at + invoices.HOUR
    off = _discounts(act, subscription, created)
    invoice = invoices.draft(
        act, subscription["customer"], _lines(act, subscription), discounts=off, **fields
    )
    told = {"event": False} if created else {}
    act.change("subscription", id, latest_invoice=invoice["id"], **told)
    if created:
        act.tell("customer.subscription.created", "subscription", id)
        _collect(act, id, invoice["id"], behavior)
    if created and sent and subscription["status"] == "incomplete":
        act.change("subscription", id, status="active")


def _collect(act: Act, id: str, invoice: str, behavior: str | None = None) -> None:
    """Finalize an invoice and let the subscription have the status that follows from its payment."""
    if act.get("invoice", invoice)["status"] == "draft":
        invoices.finalize(act, invoice)
    data = act.get("invoice", invoice)
    automatic = data["collection_method"] == "charge_automatically" and behavior != "default_incomplete"
    if data["status"] == "open" and automatic:
        try:
            invoices.pay(act, invoice, invoices.method_for(act, data))
        except StripeError:
            if behavior == "error_if_incomplete":
                raise
    subscription, paid = act.get("subscription", id), act.get("invoice", invoice)
    if paid["status"] == "paid" and subscription["status"] in ("incomplete", "past_due", "unpaid"):
        act.change("subscription", id, status="active")
    if paid["status"] == "open" and paid["attempted"] and subscription["status"] == "active":
        act.change("subscription", id, status="past_due")
    if paid["attempt_count"] > len(invoices.RETRIES) and subscription["status"] == "past_due":
        cancel(act, id, "payment_failed")


def after_payment(act: Act, invoice: Json) -> None:
    """What a payment that somebody asked for does for its subscription."""
    details = (invoice["parent"] or {}).get("subscription_details") or {}
    id = details.get("subscription")
    if (
        id
        and invoice["status"] == "paid"
        and act.get("subscription", id)["status"] in ("incomplete", "past_due")
    ):
        act.change("subscription", id, status="active")


def cancel(act: Act, id: str, reason: str = "cancellation_requested", **details: Any) -> Json:
    said = {"comment": None, "feedback": None, "reason": reason} | details
    return act.change("subscription", id, status="canceled", cancellation_details=said)


def due(act: Act, id: str) -> int | None:
    """The next time at which something happens to a subscription by itself."""
    subscription = act.get("subscription", id)
    if subscription["status"] in _IDLE:
        return None
    times = [item["current_period_end"] for item in _items(act, id)]
    if subscription["status"] == "trialing":
        warned = subscription["trial_end"] - _WARNED
        times = [subscription["trial_end"], *([warned] if warned > act.at else [])]
    times += [subscription["cancel_at"]] if subscription["cancel_at"] else []
    if latest := subscription["latest_invoice"]:
        invoice = act.get("invoice", latest)
        waits = (
            invoice["automatically_finalizes_at"]
            if invoice["status"] == "draft"
            else invoice["next_payment_attempt"]
        )
        times += [waits] if waits else []
    return min(times, default=None)


def step(act: Act, id: str) -> None:
    """Lets happen what is due at the act's time."""
    subscription = act.get("subscription", id)
    latest = subscription["latest_invoice"]
    if latest:
        invoice = act.get("invoice", latest)
        finalizes = (
            invoice["status"] == "draft" and (invoice["automatically_finalizes_at"] or act.at + 1) <= act.at
        )
        retried = invoice["status"] == "open" and (invoice["next_payment_attempt"] or act.at + 1) <= act.at
        if finalizes and (subscription["pause_collection"] or {}).get("behavior"):
            _skip(act, latest, subscription["pause_collection"]["behavior"])
        elif finalizes or retried:
            _collect(act, id, latest)
    if act.get("subscription", id)["status"] in _ENDED:
        return
    if subscription["cancel_at"] and subscription["cancel_at"] <= act.at:
        cancel(act, id)
    elif subscription["status"] == "trialing" and subscription["trial_end"] - _WARNED == act.at:
        act.tell("customer.subscription.trial_will_end", "subscription", id)
    elif subscription["status"] == "trialing" and subscription["trial_end"] <= act.at:
        end_trial(act, id)
    elif any(item["current_period_end"] <= act.at for item in _items(act, id)):
        _next_period(act, id)
        _bill(act, id, "subscription_cycle")


def _skip(act: Act, invoice: str, behavior: str) -> None:
    """The invoice of a time in which nothing is collected."""
    if behavior == "keep_as_draft":
        act.change("invoice", invoice, automatically_finalizes_at=None, auto_advance=False)
        return
    invoices.finalize(act, invoice)
    if act.get("invoice", invoice)["status"] == "open":
        act.change(
            "invoice", invoice, status="void" if behavior == "void" else "uncollectible", auto_advance=False
        )


def _next_period(act: Act, id: str) -> None:
    day = datetime.fromtimestamp(act.get("subscription", id)["billing_cycle_anchor"], UTC).day
    for item in _items(act, id):
        recurring, start = item["price"]["recurring"], item["current_period_end"]
        if recurring and start <= act.at:
            end = end_of(start, recurring["interval"], recurring["interval_count"], day)
            period: Json = {"current_period_start": start, "current_period_end": end}
            act.change("subscription_item", item["id"], event=False, **period)


def end_trial(act: Act, id: str) -> None:
    """The first period that costs something, unless nothing can pay it and that is said to matter."""
    subscription = act.get("subscription", id)
    missing = (subscription["trial_settings"] or {}).get("end_behavior", {}).get("missing_payment_method")
    of: Json = {"parent": invoices.of_subscription(id), "default_payment_method": None}
    pays = invoices.method_for(act, of | {"customer": subscription["customer"]})
    if pays is None and missing in ("pause", "cancel"):
        if missing == "cancel":
            cancel(act, id)
        else:
            act.change("subscription", id, status="paused", trial_end=act.at)
        return
    act.change(
        "subscription", id, event=False, status="active", trial_end=act.at, billing_cycle_anchor=act.at
    )
    for item in _items(act, id):
        act.change("subscription_item", item["id"], event=False, current_period_end=act.at)
    _next_period(act, id)
    _bill(act, id, "subscription_cycle")


# Requests


def create_subscription(write: Write) -> Json:
    act, given = write.act, write.given
    customer = write.parent or write.need("customer")
    write.need("items")

    now = act.under(act.get("customer", customer)["test_clock"]).at
    fields = write.without("customer", "discounts", "trial_end")
    fields["trial_end"] = _trial_end(given, now)
    fields["coupons"] = [discount_of(act, each) for each in given.get("discounts") or ()]
    fields["payment_behavior"] = given.get("payment_behavior")
    made = subscribe(act, customer, given["items"], **fields)
    return _ended_as_asked(act, made["id"], given)


def discount_of(act: Act, given: Mapping[str, Any]) -> Json:
    """The fields of a discount that a coupon, a promotion code or another discount gives."""
    if id := given.get("promotion_code"):
        coupon = act.get("promotion_code", id)["promotion"]["coupon"]
        return {"promotion_code": id, "source": {"coupon": coupon, "type": "coupon"}}
    if id := given.get("discount"):
        return {"source": act.get("discount", id)["source"]}
    return {"source": {"coupon": given.get("coupon"), "type": "coupon"}}


def _trial_end(given: Mapping[str, Any], now: int) -> int | None:
    if days := given.get("trial_period_days"):
        return int(now + days * _DAY)
    end = given.get("trial_end")
    return end if isinstance(end, int) else None


def _ended_as_asked(act: Act, id: str, given: Mapping[str, Any]) -> Json:
    ends = given.get("cancel_at_period_end")
    return act.get("subscription", id) if ends is None else end_with_period(act, id, ends=ends)


def end_with_period(act: Act, id: str, *, ends: bool) -> Json:
    """Whether it is canceled at the end of its period, and when that is."""
    last = max((item["current_period_end"] for item in _items(act, id)), default=act.at)
    said = {"reason": "cancellation_requested" if ends else None}
    times: Json = {"cancel_at": last if ends else None, "canceled_at": act.at if ends else None}
    return act.change("subscription", id, cancel_at_period_end=ends, cancellation_details=said, **times)


def update_subscription(write: Write) -> Json:
    act, id, given = write.act, write.id, write.given
    dropped = ("discounts", "trial_end", "cancel_at_period_end")
    fields = write.without(*dropped)
    if "pause_collection" in given and given["pause_collection"] is None:
        fields["pause_collection"] = None
    if given.get("items"):
        change_items(act, id, given["items"], given.get("proration_behavior") or "create_prorations")
    for discount in given.get("discounts") or ():
        act.make("discount", customer=write.old["customer"], subscription=id, **discount_of(act, discount))
    if given.get("trial_end") == "now" and write.old["status"] == "trialing":
        end_trial(act, id)
        if invoice := act.get("subscription", id)["latest_invoice"]:
            _collect(act, id, invoice)
    elif end := _trial_end(given, act.at):
        fields |= {"trial_end": end, "status": "trialing", "trial_start": act.at}
    act.change("subscription", id, **fields)
    return _ended_as_asked(act, id, given)


def change_items(act: Act, id: str, items: Sequence[Mapping[str, Any]], prorates: str) -> None:
    """Other items from now on. What was paid in advance is given back, and the rest of the period billed."""
    subscription, owned = act.get("subscription", id), {each["id"]: each for each in _items(act, id)}
    for item in items:
        old = owned.get(item.get("id") or "")
        if old is None:
            _add_item(act, id, item, price_of(act, item))
            continue
        _prorate(act, subscription, old, -1, prorates)
        if item.get("deleted"):
            act.remove("subscription_item", old["id"])
            continue
        price = price_of(act, item) if item.get("price") or item.get("price_data") else old["price"]
        new = {"price": price, "quantity": item.get("quantity", old.get("quantity"))}
        act.change("subscription_item", old["id"], event=False, **new)
        _prorate(act, subscription, old | new, 1, prorates)
    shown = [item["id"] for item in _items(act, id)]
    if shown:
        act.tell("customer.subscription.updated", "subscription", id)
    if prorates == "always_invoice":
        of: Json = {"parent": invoices.of_subscription(id), "currency": subscription["currency"]}
        invoice = invoices.draft(
            act, subscription["customer"], [], billing_reason="subscription_update", **of
        )
        act.change("subscription", id, latest_invoice=invoice["id"])
        _collect(act, id, invoice["id"])


def _prorate(act: Act, subscription: Json, item: Json, sign: int, prorates: str) -> None:
    if prorates == "none" or subscription["status"] == "trialing":
        return
    start, end = item["current_period_start"], item["current_period_end"]
    left = max(end - act.at, 0) / max(end - start, 1)
    price = item["price"]
    amount = sign * round(amount_of(act, price, item.get("quantity")) * left)
    of = {"subscription": subscription["id"], "subscription_item": item["id"]}
    line = invoices.line_of(price, item.get("quantity") or 0, amount, act.at, end, of=of)
    said = "Unused time on" if sign < 0 else "Remaining time on"
    fields: Json = {name: line[name] for name in ("amount", "currency", "period", "pricing", "quantity")}
    fields |= {"parent": {"subscription_details": of, "type": "subscription_details"}, "proration": True}
    name = price["nickname"] or price["product"]
    act.make("invoiceitem", customer=subscription["customer"], description=f"{said} {name}", **fields)


def delete_subscription(write: Write) -> Json:
    if write.old["status"] in _ENDED:
        raise errors.missing("subscription", write.id, "id")
    details = write.given.get("cancellation_details") or {}
    return cancel(write.act, write.id, **details)


def resume_subscription(write: Write) -> Json:
    act, id = write.act, write.id
    if write.old["status"] != "paused":
        raise errors.wrong_status("subscription", write.old["status"], "active")
    act.change("subscription", id, status="active", billing_cycle_anchor=act.at)
    for item in _items(act, id):
        act.change("subscription_item", item["id"], event=False, current_period_end=act.at)
    _next_period(act, id)
    _bill(act, id, "subscription_cycle")
    return act.get("subscription", id)


def pay_invoice(write: Write) -> Json:
    try:
        return invoices.pay_it(write)
    finally:
        after_payment(write.act, write.act.get("invoice", write.id))


def confirm_payment_intent(write: Write) -> Json:
    """A customer's own payment of an invoice pays it, too."""
    data = payments.confirm_own_intent(write)
    for payment in write.act.world.list_all("invoice_payment", write.act.home):
        if payment["payment"]["payment_intent"] == write.id and data["status"] == "succeeded":
            invoices.settle(write.act, payment, data["amount"])
            after_payment(write.act, write.act.get("invoice", payment["invoice"]))
    return data


# Schedules


def create_subscription_schedule(write: Write) -> Json:
    act, given = write.act, write.given
    if id := given.get("from_subscription"):
        return _schedule_of(act, id)
    customer = write.need("customer")
    clock = act.get("customer", customer)["test_clock"]
    act, wanted = act.under(clock), given.get("start_date")
    start = wanted if isinstance(wanted, int) else act.at
    phases = [_phase(act, each, start) for each in write.need("phases")]
    for last, phase in itertools.pairwise(phases):
        length = phase["end_date"] - phase["start_date"]
        phase |= {"start_date": last["end_date"], "end_date": last["end_date"] + length}
    fields = write.without("phases")
    made = act.make("subscription_schedule", phases=phases, test_clock=clock, status="not_started", **fields)
    if start <= act.at:
        begin(act, made["id"])
    return act.get("subscription_schedule", made["id"])


def _schedule_of(act: Act, id: str) -> Json:
    subscription, items = act.get("subscription", id), _items(act, id)
    period = {"start_date": items[0]["current_period_start"], "end_date": items[0]["current_period_end"]}
    phase = _phase(act, {"items": [{"price": each["price"]["id"]} for each in items]}, act.at) | period
    of: Json = {
        "customer": subscription["customer"],
        "subscription": id,
        "test_clock": subscription["test_clock"],
    }
    made = act.make("subscription_schedule", phases=[phase], status="active", current_phase=period, **of)
    act.change("subscription", id, schedule=made["id"])
    return made


def _phase(act: Act, given: Mapping[str, Any], start: int) -> Json:
    items = [
        {"price": price_of(act, each)["id"], "quantity": each.get("quantity", 1)} for each in given["items"]
    ]
    price = act.get("price", items[0]["price"])
    length = given.get("duration") or price["recurring"]
    end = given.get("end_date") or end_of(start, length["interval"], length.get("interval_count") or 1)
    item, phase = (
        templates(f"subscription_schedule_{each}") for each in ("configuration_item", "phase_configuration")
    )
    shown: Json = {
        "items": [{**item, "plan": each["price"], **each} for each in items],
        "currency": price["currency"],
    }
    return {**phase, **shown, "proration_behavior": "create_prorations", "start_date": start, "end_date": end}


def begin(act: Act, id: str) -> None:
    """Starts a schedule's first phase: with a subscription, if it has none."""
    plan = act.get("subscription_schedule", id)
    phase = plan["phases"][0]
    made = plan["subscription"] or subscribe(act, plan["customer"], phase["items"], schedule=id)["id"]
    current = {"start_date": phase["start_date"], "end_date": phase["end_date"]}
    act.change("subscription_schedule", id, status="active", subscription=made, current_phase=current)


def due_schedule(act: Act, id: str) -> int | None:
    plan = act.get("subscription_schedule", id)
    if plan["status"] == "not_started":
        return int(plan["phases"][0]["start_date"])
    if plan["status"] != "active":
        return None
    ends = [phase["end_date"] for phase in plan["phases"] if phase["end_date"] > act.at]
    warned = plan["phases"][-1]["end_date"] - _EXPIRING
    return min([*ends, *([warned] if warned > act.at else [])], default=act.at + 1)


def step_schedule(act: Act, id: str) -> None:
    plan = act.get("subscription_schedule", id)
    if plan["status"] == "not_started":
        begin(act, id)
        return
    last = plan["phases"][-1]
    if act.at < last["end_date"]:
        following = next((each for each in plan["phases"] if each["start_date"] == act.at), None)
        if following:
            owned = _items(act, plan["subscription"])
            new = [
                {**dict(each), "id": old["id"]} for each, old in zip(following["items"], owned, strict=False)
            ]
            change_items(act, plan["subscription"], new, following["proration_behavior"])
            current = {"start_date": act.at, "end_date": following["end_date"]}
            act.change("subscription_schedule", id, current_phase=current)
        else:
            act.tell("subscription_schedule.expiring", "subscription_schedule", id)
    elif plan["end_behavior"] == "cancel":
        cancel(act, plan["subscription"])
        act.change("subscription_schedule", id, status="completed", current_phase=None)
    else:
        release(act, id)


def release(act: Act, id: str) -> Json:
    """The subscription goes on by itself."""
    held = act.get("subscription_schedule", id)["subscription"]
    if held:
        act.change("subscription", held, schedule=None)
    freed: Json = {"released_subscription": held, "subscription": None, "current_phase": None}
    return act.change("subscription_schedule", id, status="released", **freed)


def release_subscription_schedule(write: Write) -> Json:
    return release(write.act, write.id)


def cancel_subscription_schedule(write: Write) -> Json:
    act, held = write.act, write.old["subscription"]
    if held and act.get("subscription", held)["status"] not in _ENDED:
        cancel(act, held)
    return act.change("subscription_schedule", write.id, status="canceled", current_phase=None)


# Test clocks


def advance_test_helpers_test_clock(write: Write) -> Json:
    """Moves a clock on, and with it all that it holds."""
    act, id, until = write.act, write.id, write.given["frozen_time"]
    if until <= write.old["frozen_time"]:
        raise StripeError(400, "A test clock can only be advanced forward in time.", param="frozen_time")
    act.change("test_helpers.test_clock", id, status="advancing")
    run(act.under(id), until, id)
    return act.change("test_helpers.test_clock", id, status="ready", frozen_time=until)


def run(act: Act, until: int, clock: str) -> None:
    agenda: list[tuple[int, int, str]] = []
    kinds = (("subscription", due, step), ("subscription_schedule", due_schedule, step_schedule))

    def plan(at: Act, place: int, id: str) -> None:
        time = kinds[place][1](at, id)
        if time is not None and time <= until:
            heapq.heappush(agenda, (time, place, id))

    seen = set[str]()
    for place, (kind, _, _) in enumerate(kinds):
        for each in act.world.list_all(kind, act.home):
            if each["test_clock"] == clock:
                seen.add(each["id"])
                plan(act, place, each["id"])
    while agenda:
        time, place, id = heapq.heappop(agenda)
        now = replace(act, at=max(time, act.at))
        kinds[place][2](now, id)
        plan(now, place, id)
        held = now.get("subscription_schedule", id)["subscription"] if place else None
        if held and held not in seen:
            seen.add(held)
            plan(now, 0, held)
