"""Keys of the local Stripe, which spell `sandbox`: Stripe itself knows none of them."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from sandbox.flow.errors import FlowError

_LOCAL_KEY = re.compile(rb'"[rs]k_(?:test|live)_Sandbox\w+"')
_BASE = "STRIPE_API_BASE"
_STRIPES_OWN = "api.stripe.com"


def refuse_elsewhere(config: Mapping[str, Any], environment: Mapping[str, str]) -> None:
    """Raises FlowError for a config with such a key whose requests would go to Stripe itself."""
    host = urlsplit(environment.get(_BASE, "")).hostname
    if host in (None, _STRIPES_OWN) and _LOCAL_KEY.search(orjson.dumps(config)):
        raise FlowError(
            "the config has the key of the local Stripe, which Stripe itself does not know: put your own key "
            "into a copy of the config, or run this command with a local Stripe, as "
            "`python -m sandbox stripe -- python -m sandbox preview ...` or `make preview` does"
        )
