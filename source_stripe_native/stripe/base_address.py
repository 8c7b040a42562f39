"""Where requests go: Stripe itself, or the address that the environment names.

Rule: the address is no part of the config, so that whoever edits a capture cannot send its key elsewhere.
Plain http is for this machine only: the key travels with every request.
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from source_stripe_native.errors import KEY_REFUSED, ConnectorError, StripeError

API_BASE_VARIABLE: Final = "STRIPE_API_BASE"
DEFAULT_API_BASE: Final = "https://api.stripe.com"
_LOCAL: Final = "_Sandbox0"
"""What the keys of the local Stripe spell. Stripe's own have nothing like it."""
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(:(?P<port>\d{1,5}))?/*",
    re.ASCII | re.IGNORECASE,
)


def api_base(environment: Mapping[str, str]) -> str:
    """The base address without a trailing slash. Raises ConnectorError for an address that is neither https
    nor this machine."""
    address = environment.get(API_BASE_VARIABLE, "").strip() or DEFAULT_API_BASE
    if parts := _ADDRESS.fullmatch(address):
        secure = parts["scheme"].lower() == "https"
        if int(parts["port"] or 0) < 1 << 16 and (secure or _is_loopback(parts["host"])):
            return address.rstrip("/")
    raise ConnectorError(
        f"{API_BASE_VARIABLE} must be https://HOST, or http://HOST for this machine (127.0.0.1, localhost), "
        f"with at most a port after it, not {address!r}: set it to that, or leave it out."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def hint_at_local_key(error: StripeError, key: str, base: str) -> None:
    """Says of a refused key of a local Stripe that it was sent to another."""
    if _LOCAL in key and KEY_REFUSED.matches(error):
        error.explain(
            f"The API key is one of the local Stripe, which {base} does not know: set STRIPE_API_BASE to the "
            "address that `make stripe` prints, or put a key of your account into credentials.access_token. "
            f"{error.answer}"
        )
