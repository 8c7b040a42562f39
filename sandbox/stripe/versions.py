"""The API versions that a `Stripe-Version` header may name.

They compare as strings: a version is its release date, then its release's name. Source: the versions of POST
/v1/webhook_endpoints in Stripe's OpenAPI document, and Stripe's changelog for those that came after it.
"""

from sandbox.stripe import facts

VERSIONS = (*facts.versions(), "2026-09-30.endive", "2026-10-28.endive", "2026-11-18.endive")
"""Oldest first."""

LATEST = VERSIONS[-1]
PREVIEWS = tuple(f"{each[:10]}.preview" for each in VERSIONS if each >= "2025-03-31")
"""Those of the public preview, which has what is to come."""
KNOWN = frozenset((*VERSIONS, *PREVIEWS))
