"""Why streams cannot be read, told at once: one line for all that the key lacks, one for all other reasons.

Rule: a missing permission is named as Stripe's dashboard calls it, once, with all the streams that need it.
Pure.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from source_stripe_native.errors import StripeError

_GRANT: Final = re.compile(r"'(rak_\w+)'")
"""How Stripe's message names the permission that a key lacks."""
_WHERE: Final = "in Stripe's dashboard (Developers > API keys > edit key), or use a secret key"


@dataclass(frozen=True)
class Denial:
    """Why a stream cannot be read of the key's own account.

    `permissions` are those that the key lacks for it, as Stripe's dashboard calls them, none where no key
    could read it. `grants` are what Stripe's answers call them ("rak_charge_read"), as far as they do.
    Connected accounts may have all the same what `is_platforms_alone`."""

    reason: str
    permissions: tuple[str, ...] = ()
    grants: tuple[str, ...] = ()
    is_platforms_alone: bool = False


Denied = Mapping[str, Denial]
"""Denials by the names of streams."""


def lacks_permission(permission: str, error: StripeError) -> Denial:
    """The key lacks a `permission`, as Stripe's dashboard calls it."""
    grants = tuple(_GRANT.findall(error.stripe_message))
    return Denial(missing_permission(permission, error), (permission,), grants)


def missing_permission(permission: str, error: StripeError) -> str:
    """What to do about a `permission`, as Stripe's dashboard calls it, that the key lacks."""
    return (
        f"the API key lacks the read permission '{permission}': grant it {_WHERE}. "
        f"(Stripe: {error.stripe_message})"
    )


def refusal(denied: Denied) -> str:
    """Why streams that were asked for cannot be captured, and what to do."""
    if len(denied) == 1:
        ((name, denial),) = denied.items()
        reason = denial.reason if len(denial.permissions) <= 1 else _missing_permissions(denied)
        return f"{name} cannot be captured: {reason} Or disable the binding."
    return f"{', '.join(denied)} cannot be captured: {all_reasons(denied)} Or disable their bindings."


def no_changes(events: Denial, denied: Denied) -> str:
    """Why nothing can be captured: the key may not read events. Whoever grants that permission had better
    know of all that are missing."""
    lacking, _ = _by_cause(denied)
    reason = _missing_permissions({"Events": events, **lacking}) if lacking else events.reason
    return f"Changes cannot be captured: {reason}"


def all_reasons(denied: Denied) -> str:
    """Each reason once, with the streams that it is about."""
    lacking, others = _by_cause(denied)
    parts = (_missing_permissions(lacking) if lacking else "", _others(others) if others else "")
    return " ".join(filter(None, parts))


def lines_left_out(denied: Denied) -> Iterator[tuple[int, str]]:
    """The lines about streams that discover leaves out, each with its level."""
    lacking, others = _by_cause(denied)
    if lacking:
        yield logging.WARNING, f"{_streams(lacking)} left out: {_missing_permissions(lacking)}"
    if others:
        # Nobody has to do anything about what is not there.
        yield logging.INFO, f"{_streams(others)} left out. {_others(others)}"


def line_about_platform(unproven: Denied) -> str:
    """The line about streams that the platform alone cannot read."""
    told = "read of connected accounts only, and proposed as disabled"
    return f"{_streams(unproven)} {told}. {_others(unproven)}"


def _by_cause(denied: Denied) -> tuple[Denied, Denied]:
    """The streams that a permission is missing for, and the others."""
    lacking = {name: each for name, each in denied.items() if each.permissions}
    return lacking, {name: each for name, each in denied.items() if name not in lacking}


def _missing_permissions(lacking: Denied) -> str:
    needed_by: dict[str, list[str]] = {}
    for name, denial in lacking.items():
        for permission in denial.permissions:
            needed_by.setdefault(permission, []).append(name)
    named = ", ".join(f"'{each}' ({', '.join(needed_by[each])})" for each in sorted(needed_by))
    what, grant = ("permissions", "grant them") if len(needed_by) > 1 else ("permission", "grant it")
    grants = sorted({grant for each in lacking.values() for grant in each.grants})
    told = f" (Stripe: {', '.join(grants)})" if grants else ""
    return f"the API key lacks the read {what} {named}: {grant} {_WHERE}.{told}"


def _others(denied: Denied) -> str:
    names: dict[str, list[str]] = {}
    for name, denial in denied.items():
        names.setdefault(denial.reason, []).append(name)
    reasons = (f"{', '.join(alike)}: {reason.removesuffix('.')}" for reason, alike in names.items())
    return f"{'; '.join(reasons)}."


def _streams(denied: Denied) -> str:
    return "1 stream is" if len(denied) == 1 else f"{len(denied)} streams are"
