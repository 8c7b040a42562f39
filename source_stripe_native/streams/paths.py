"""The paths of Stripe's API, by their shape: what Stripe limits, and what it refuses parameters of."""

from typing import Final

NAMESPACES: Final = frozenset(
    (
        *("apple_pay", "apps", "balance", "billing", "billing_portal", "checkout", "climate", "entitlements"),
        *(
            "financial_connections",
            "forwarding",
            "identity",
            "issuing",
            "product_catalog",
            "radar",
            "reporting",
        ),
        *("sigma", "tax", "terminal", "test_helpers", "three_d_secure", "treasury"),
    )
)
"""First segments of a path below /v1/ that hold collections instead of being one."""


def endpoint_of(path: str) -> str:
    """The shape of a path ("/v1/..."), which is what Stripe limits: each id replaced by `{}`. Ids are known
    by their place after a collection, as users choose the spelling of some."""
    parts = path.removeprefix("/v1/").split("/")
    first_id = 2 if parts[0] in NAMESPACES else 1
    parts[first_id::2] = ["{}"] * len(parts[first_id::2])
    return f"/v1/{'/'.join(parts)}"
