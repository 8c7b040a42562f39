"""The paths of Stripe's API, by their shape: what Stripe limits, and what it refuses parameters of."""

from typing import Final

NAMESPACES: Final = frozenset(
    (
        *("apple_pay", "apps", "balance", "billing", "billing_portal", "checkout", "climate", "commerce"),
        *("core", "entitlements", "financial_connections", "forwarding", "identity", "issuing"),
        *("money_management", "product_catalog", "radar", "reporting", "sigma", "tax", "terminal"),
        *("test_helpers", "three_d_secure", "treasury"),
    )
)
"""First segments of a path below /v1/ or /v2/ that hold collections instead of being one."""
DEEPER: Final = frozenset(("commerce/product_catalog", "core/vault"))
"""The first two segments of such a path."""


def endpoint_of(path: str) -> str:
    """The shape of a path ("/v1/..."), which is what Stripe limits: each id replaced by `{}`. Ids are known
    by their place after a collection, as users choose the spelling of some."""
    _, api, *parts = path.split("/")
    first_id = 1 + (parts[0] in NAMESPACES) + ("/".join(parts[:2]) in DEEPER)
    parts[first_id::2] = ["{}"] * len(parts[first_id::2])
    return f"/{api}/{'/'.join(parts)}"
