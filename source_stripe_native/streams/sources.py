"""Sources: how customers paid before payment methods, and the money that came in."""

from collections.abc import Mapping
from typing import ClassVar

from source_stripe_native.streams.customers import Customers
from source_stripe_native.streams.row import DatedAccountObject, ops


class Sources(DatedAccountObject):
    NAME = "Sources"
    SEARCH_NAME = "customers/{parent}/sources"
    PERMISSION = "Payment Methods"
    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {"object": "source"}}
    LISTS_BY_CREATED = False
    RETRIEVE = "sources/{id}"
    EVENT_TYPES = ops(
        "customer.source.created",
        "customer.source.updated customer.source.expiring source.canceled source.chargeable source.failed "
        "source.refund_attributes_required",
        "customer.source.deleted",
    )
    EVENT_OBJECT = "source"
    PARENT = Customers
    EMBEDDED = "sources"
    EMBEDDED_EXPANDED = True
    EMBEDDED_OBJECT = "source"


class SourceTransactions(DatedAccountObject):
    NAME = "SourceTransactions"
    SEARCH_NAME = "sources/{parent}/source_transactions"
    PERMISSION = "Payment Methods"
    LISTS_BY_CREATED = False
    RETRIEVE = "sources/{source}/source_transactions/{id}"
    EVENT_TYPES = ops("source.transaction.created", "source.transaction.updated")
    PARENT = Customers
    PARENT_ITEMS = "sources"
    EMBEDDED_EXPANDED = True
    EMBEDDED_OBJECT = "source"
