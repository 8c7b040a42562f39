"""Sessions with Stripe, as an endpoint config asks for them."""

import os
from datetime import timedelta

from source_stripe_native.config import EndpointConfig
from source_stripe_native.settings import Settings
from source_stripe_native.stripe.client import StripeSession, api_base, rate_limiter_for


def open_session(
    config: EndpointConfig,
    settings: Settings,
    patience: timedelta,
    key_patience: timedelta = timedelta(),
    share: float = 1.0,
) -> StripeSession:
    """A session under the config's key, context and version, and under a `share` of its limits, with the base
    address of the environment. Raises ConnectorError for an address, a key or a version that cannot be
    used."""
    key = config.credentials.access_token
    return StripeSession(
        key,
        base=api_base(os.environ),
        version=config.advanced.api_version or None,
        context=config.advanced.stripe_context or None,
        patience=patience,
        key_patience=key_patience,
        rate_limiter=rate_limiter_for(key, config.advanced.max_requests_per_second, settings, share),
        settings=settings,
    )
