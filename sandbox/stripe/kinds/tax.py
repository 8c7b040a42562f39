"""Tax: rates, codes, registrations and locations. Tax ids are with customers."""

from dataclasses import replace

from sandbox.stripe.filters import Filter, Given, Match, at, one_of, only, part_of, single
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import fields as f


def _status(param: str, given: Given) -> Match | None:
    status = single(param, given)
    return None if status == "all" else only(status)


TAX_RATE = Kind(
    name="tax_rate",
    prefix="txr",
    path="/v1/tax_rates",
    fields={"active": True, "metadata": {}, "percentage": f.number(1, 25)},
)

TAX_REGISTRATION = Kind(
    name="tax.registration",
    prefix="taxreg",
    path="/v1/tax/registrations",
    product="tax",
    filters=(Filter("status", at("status"), _status, unasked=lambda _asked: only("active"), groups=True),),
    fields={"active_from": f.now},
)

TAX_CODE = Kind(name="tax_code", prefix="txcd", path="/v1/tax_codes", created="", fields={})

_owner = part_of("owner", None, "type", "customer", "account")

ACCOUNT_TAX_ID = Kind(
    name="account_tax_id",
    object="tax_id",
    prefix="txi",
    path="/v1/tax_ids",
    ops="LCRD",
    filters=(replace(_owner, unasked=lambda _asked: Match(lambda facet: facet[0] == "self")),),
    fields={
        "country": "DE",
        "owner": {"type": "self"},
        "type": "eu_vat",
        "value": f.digits(9),
        "verification": {"status": "verified", "verified_address": None, "verified_name": None},
    },
)
"""A tax id of the account itself. Those of its customers have another home."""

TAX_LOCATION = Kind(
    name="tax.location",
    prefix="taxloc",
    path="/v1/tax/locations",
    product="tax",
    created="",
    filters=(replace(one_of("type", "performance"), required=True),),
    needs=("address", "type"),
    fields={"address": f.ADDRESS, "type": "performance"},
)

ROWS = (ACCOUNT_TAX_ID, TAX_RATE, TAX_REGISTRATION, TAX_CODE, TAX_LOCATION)
