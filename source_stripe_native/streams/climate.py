"""Climate: orders of carbon removal, and Stripe's catalogue. Only accounts with the product have these."""

from source_stripe_native.streams.row import AccountObject, DatedAccountObject, ops


class ClimateOrders(DatedAccountObject):
    NAME = "ClimateOrders"
    SEARCH_NAME = "climate/orders"
    PERMISSION = "Climate: Orders"
    PRODUCT = "climate"
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops(
        "climate.order.created",
        "climate.order.canceled climate.order.delayed climate.order.delivered "
        "climate.order.product_substituted",
    )
    # Metadata and beneficiary change without an event.
    SNAPSHOTS = True


class ClimateProducts(DatedAccountObject):
    NAME = "ClimateProducts"
    SEARCH_NAME = "climate/products"
    PERMISSION = "Climate: Products"
    PRODUCT = "climate"
    PER_ACCOUNT = False
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops("climate.product.created", "climate.product.pricing_updated")
    # What is left to sell changes without an event.
    SNAPSHOTS = True


class ClimateSuppliers(AccountObject):
    NAME = "ClimateSuppliers"
    SEARCH_NAME = "climate/suppliers"
    PERMISSION = "Climate: Suppliers"
    PRODUCT = "climate"
    PER_ACCOUNT = False
    CREATED = ""
    LISTS_BY_CREATED = False
    SNAPSHOTS = True
