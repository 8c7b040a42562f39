"""What is sold: prices, their amounts and periods, Checkout sessions, payment links and quotes."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sandbox.stripe import errors
from sandbox.stripe.filters import Json
from sandbox.stripe.rules.act import Act, Write
from sandbox.stripe.rules.defaults import create

_DAYS: Final = {"day": 1, "week": 7}


def end_of(start: int, interval: str, count: int = 1, day: int = 0) -> int:
    """When a period ends. Months end on `day`, or on their last one."""
    at = datetime.fromtimestamp(start, UTC)
    if interval in _DAYS:
        return int((at + timedelta(days=_DAYS[interval] * count)).timestamp())
    months = at.year * 12 + at.month - 1 + count * (12 if interval == "year" else 1)
    first = at.replace(year=months // 12, month=months % 12 + 1, day=1)
    last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
    return int(first.replace(day=min(day or at.day, last.day)).timestamp())


def price_of(act: Act, given: Mapping[str, Any]) -> Json:
    """The price that an item names, or one that it describes, which no list shows."""
    if id := given.get("price") or given.get("plan"):
        return act.get("price", id)
    data = given.get("price_data")
    if data is None:
        raise errors.missing_parameter("price")
    described, product = dict(data), data.get("product")
    if product is None:
        sold = data.get("product_data") or {}
        named = {name: sold[name] for name in ("name", "description") if name in sold}
        product = act.make("product", active=False, **named)["id"]
    fields = amounts(described) | {"product": product, "currency": data["currency"].lower()}
    if data.get("recurring"):
        fields["recurring"] = data["recurring"]
    return act.make("price", listed=False, active=False, **fields)


def amounts(given: Mapping[str, Any]) -> Json:
    """The amount of a unit and its decimal form, of which a form gives one."""
    decimal, amount = given.get("unit_amount_decimal"), given.get("unit_amount")
    if decimal is not None:
        number = float(decimal)
        return {"unit_amount": int(number) if number.is_integer() else None, "unit_amount_decimal": decimal}
    return {} if amount is None else {"unit_amount": amount, "unit_amount_decimal": str(amount)}


def amount_of(act: Act, price: Json, quantity: int | None) -> int:
    """What so much of a price costs."""
    count = quantity or 0
    if price["billing_scheme"] == "per_unit":
        return round(float(price["unit_amount_decimal"] or 0) * count)
    tiers, total, below = act.world.whole("price", price["id"], act.home)["tiers"], 0.0, 0
    for tier in tiers:
        top = tier["up_to"] if tier["up_to"] is not None else count
        volume = price["tiers_mode"] == "volume"
        inside = count if volume and count <= top else 0 if volume else max(min(count, top) - below, 0)
        if inside:
            total += inside * (tier["unit_amount"] or 0) + (tier["flat_amount"] or 0)
        if count <= top:
            break
        below = top
    return round(total)


def create_price(write: Write) -> Json:
    act, given, fields = write.act, write.given, dict(write.fields)
    fields |= amounts(given)
    if data := given.get("product_data"):
        fields["product"] = act.make(
            "product", **{name: data[name] for name in ("id", "name", "metadata") if data.get(name)}
        )["id"]
    if fields.get("product") is None and given.get("product") is None:
        raise errors.missing_parameter("product")
    if given.get("tiers"):
        fields["tiers"] = [
            {
                "flat_amount": tier.get("flat_amount"),
                "flat_amount_decimal": tier.get("flat_amount_decimal"),
                "unit_amount": None,
                "unit_amount_decimal": None,
                **amounts(tier),
                "up_to": None if tier["up_to"] == "inf" else tier["up_to"],
            }
            for tier in given["tiers"]
        ]
    elif "unit_amount" not in fields:
        if not given.get("custom_unit_amount"):
            raise errors.missing_parameter("unit_amount")
        fields |= {"unit_amount": None, "unit_amount_decimal": None}
        fields["custom_unit_amount"] = {"maximum": None, "minimum": None, "preset": None}
    if key := given.get("lookup_key") if given.get("transfer_lookup_key") else None:
        for old in act.world.list_all("price", act.home):
            if old["lookup_key"] == key:
                act.change("price", old["id"], lookup_key=None)
    return create(Write(act, write.row, {**given, "product": fields["product"]}, fields))


def create_plan(write: Write) -> Json:
    fields, product = dict(write.fields), write.given.get("product")
    if isinstance(product, Mapping):
        fields["product"] = write.act.make("product", name=product["name"])["id"]
    if amount := write.given.get("amount_decimal"):
        fields["amount"] = int(float(amount)) if float(amount).is_integer() else None
    return create(Write(write.act, write.row, write.given, fields))
