"""Stripe capture connector for Estuary Flow: every object of every stream, in its last state."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from source_stripe_native.connector import Connector

__all__ = ["Connector"]


def __getattr__(name: str) -> Any:
    """Imports the connector when it is asked for: a process sets up its signals before the imports."""
    if name == "Connector":
        from source_stripe_native.connector import Connector

        return Connector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
