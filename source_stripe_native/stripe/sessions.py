"""Sessions with Stripe, as an endpoint config asks for them, and where their requests go.

Rule: the base address is no part of the config, so that whoever edits a capture cannot send its key
elsewhere. Plain http is for this machine only: the key travels with every request.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from typing import Final

from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.settings import Settings
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.rate_limit import rate_limiter_for

API_BASE_VARIABLE: Final = "STRIPE_API_BASE"
DEFAULT_API_BASE: Final = "https://api.stripe.com"
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:]+\])(:(?P<port>\d{1,5}))?/*",
    re.ASCII | re.IGNORECASE,
)


def open_session(
    config: EndpointConfig,
    settings: Settings,
    patience: timedelta | None = None,
    share: float = 1.0,
) -> StripeSession:
    """A session under the config's key, context and version, and under a `share` of its limits. `patience` is
    that of a person who waits. Raises ConnectorError for an address, a key or a version that cannot be
    used."""
    key = config.credentials.access_token
    return StripeSession(
        key,
        base=api_base(os.environ),
        version=config.advanced.api_version or None,
        context=config.advanced.stripe_context or None,
        patience=patience,
        rate_limiter=rate_limiter_for(key, config.advanced.max_requests_per_second, settings, share),
        settings=settings,
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
