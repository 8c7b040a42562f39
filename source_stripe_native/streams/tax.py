"""Tax: rates, codes, ids, registrations and locations."""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.streams.customers import Customers
from source_stripe_native.streams.row import ACTIVE, AccountObject, DatedAccountObject, ops


class TaxRates(DatedAccountObject):
    NAME = "TaxRates"
    SEARCH_NAME = "tax_rates"
    DISABLED = False
    PERMISSION = "Tax Rates"
    VARIANTS = ACTIVE
    EVENT_TYPES = ops("tax_rate.created", "tax_rate.updated")


class CustomerTaxIds(DatedAccountObject):
    NAME = "CustomerTaxIds"
    SEARCH_NAME = "customers/{parent}/tax_ids"
    DISABLED = False
    PERMISSION = "Tax IDs"
    LISTS_BY_CREATED = False
    RETRIEVE = "customers/{customer}/tax_ids/{id}"
    EVENT_TYPES = ops("customer.tax_id.created", "customer.tax_id.updated", "customer.tax_id.deleted")
    PARENT = Customers
    EMBEDDED = "tax_ids"
    EMBEDDED_EXPANDED = True


class TaxIds(DatedAccountObject):
    NAME = "TaxIds"
    SEARCH_NAME = "tax_ids"
    PERMISSION = "Tax IDs"
    # The bare list has the account's own. Those of customers are CustomerTaxIds.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "_self": {"owner[type]": "self"},
        "_application": {"owner[type]": "application"},
    }
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
    SHOWS_DELETIONS = True


class TaxRegistrations(DatedAccountObject):
    NAME = "TaxRegistrations"
    SEARCH_NAME = "tax/registrations"
    PERMISSION = "Tax registrations"
    PRODUCT = "tax"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"status": "all"}}
    LISTS_BY_CREATED = False
    # A registration becomes active and expires at a time of its own.
    SNAPSHOTS = True


class TaxCodes(AccountObject):
    NAME = "TaxCodes"
    SEARCH_NAME = "tax_codes"
    PERMISSION = "Tax codes"
    # Stripe's catalogue: the same for every account.
    PER_ACCOUNT = False
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True


class TaxLocations(AccountObject):
    NAME = "TaxLocations"
    SEARCH_NAME = "tax/locations"
    PERMISSION = "Tax locations"
    PRODUCT = "tax"
    SINCE_VERSION = "2026-09-30"
    # The only type there is. The list must be asked for one.
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"type": "performance"}}
    CREATED = ""
    LISTS_BY_CREATED = False
    # A location never changes. New ones have neither an event nor a time.
    SNAPSHOTS = True
