"""Which streams can be read: with this key, with the account's products, in the API version in force. And
why others cannot: one line for all that the key lacks, one for all other reasons.

Rule: discover and validate find out before anything is captured. All probes are sent at once, one request
each. A secret key may read everything that the account has, so one stream of each product is probed; only a
restricted key is probed stream by stream. A missing permission is named as Stripe's dashboard calls it, once,
with all the streams that need it. A capture that opens asks for events alone.

The probes ask the key's own account. A missing permission and an API version hold for connected accounts too.
A product that the platform lacks says nothing about them: an account that lacks it too is paused.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from logging import Logger
from typing import Final

from source_stripe_native.errors import (
    ABSENT,
    NOT_FOR_RESTRICTED_KEYS,
    PATH_UNKNOWN,
    PERMISSION_MISSING,
    Scope,
    StripeError,
    is_refusal,
)
from source_stripe_native.flow.waits import side_by_side
from source_stripe_native.streams.core import Events
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.client import StripeSession

NO_PARENT: Final = "invalid_id"
"""A parent that is never there: what Stripe says of it tells whether its children could be read."""
ABOUT_PARENT: Final = (400, 403, 404)
"""Statuses with which Stripe may refuse such a parent. Any other status leaves the question open."""
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


@dataclass(frozen=True)
class Permissions:
    """`readable` streams, in the order asked for, and those that are `denied`, by name. Of the readable ones
    those in `unproven` are refused to the platform, and connected accounts may have them. `no_changes` is why
    the key may not read events, without which no stream could follow changes; None where it may."""

    readable: list[type[BaseStripeObject]]
    denied: dict[str, Denial]
    unproven: dict[str, Denial] = field(default_factory=dict)
    no_changes: Denial | None = None


async def probe(
    http: StripeSession, log: Logger, streams: Iterable[type[BaseStripeObject]], *, connected: bool = False
) -> Permissions:
    """`connected` says that connected accounts are captured too. Raises StripeError for a refusal that is
    about no stream, such as that of the key, and ConnectorError where Stripe cannot be reached."""
    streams = list(streams)
    parents = [parent for stream in streams for parent in stream.found_through()]
    wanted: list[type[BaseStripeObject]] = list(dict.fromkeys([Events, *streams, *parents]))
    asked = wanted
    if not http.is_restricted:
        # The first stream of each product that is no child.
        asked = [*{row.PRODUCT: row for row in reversed(wanted) if row.PRODUCT and not row.PARENT}.values()]
    found = await side_by_side(_denial(http, log, stream, connected) for stream in asked)
    answers = dict(zip(asked, found, strict=True))
    absent = {row.PRODUCT: denial for row, denial in answers.items() if denial and not http.is_restricted}
    denials: dict[type[BaseStripeObject], Denial | None] = {}
    for stream in wanted:
        outside = outside_versions(stream, http.version or "")
        denial = answers.get(stream) or absent.get(stream.PRODUCT or "-")
        denials[stream] = Denial(outside) if outside else denial
    result = Permissions([], {}, {}, denials[Events])
    for stream in streams:
        reasons = [reason for row in (stream, *stream.found_through()) if (reason := denials[row])]
        if lasting := [reason for reason in reasons if not reason.is_platforms_alone]:
            result.denied[stream.NAME] = _joined(lasting)
            continue
        result.readable.append(stream)
        if reasons:
            result.unproven[stream.NAME] = reasons[0]
    return result


def _joined(denials: Sequence[Denial]) -> Denial:
    """The denials of one stream and of those that it is found through, as one: what no key could read first,
    since no permission helps there."""
    if (hopeless := next((denial for denial in denials if not denial.permissions), None)) is not None:
        return hopeless
    missing = dict.fromkeys(name for denial in denials for name in denial.permissions)
    grants = dict.fromkeys(name for denial in denials for name in denial.grants)
    return replace(denials[0], permissions=tuple(missing), grants=tuple(grants))


async def _denial(
    http: StripeSession, log: Logger, stream: type[BaseStripeObject], connected: bool
) -> Denial | None:
    """Why the stream cannot be read, None where it can."""
    if outside_versions(stream, http.version or "") or stream.EMBEDDINGS:
        return None
    params = [] if stream.VARIANTS_OF_PARENT else [*next(iter(stream.VARIANTS.values())).items()]
    params += [("limit", "1")] if stream.PAGED else []
    params += [(name, NO_PARENT) for name in (stream.PARENT_PARAM, *stream.PARENT_QUERY) if name]
    try:
        await http.get(log, stream.list_path(NO_PARENT), params)
    except StripeError as error:
        if PERMISSION_MISSING.matches(error):
            grants = tuple(_GRANT.findall(error.stripe_message))
            return Denial(missing_permission(stream.PERMISSION, error), (stream.PERMISSION,), grants)
        if NOT_FOR_RESTRICTED_KEYS.matches(error):
            return Denial(f"{NOT_FOR_RESTRICTED_KEYS.advice} (Stripe: {error.stripe_message})")
        if any(known.matches(error) for known in stream.LIST_ENDS):
            return None
        others_may = connected and stream.PER_ACCOUNT
        if stream.PRODUCT and ABSENT.matches(error):
            reason = f"the account does not have the product. (Stripe: {error.stripe_message})"
            return Denial(reason, is_platforms_alone=others_may)
        if stream.PARENT is None and PATH_UNKNOWN.matches(error):
            reason = f"the API version does not have the list. (Stripe: {error.stripe_message})"
            return Denial(reason)
        if others_may and stream.PARENT is None and is_refusal(error, Scope.ACCOUNT):
            return Denial(error.answer, is_platforms_alone=True)
        if stream.PARENT is None or error.status not in ABOUT_PARENT:
            raise
    return None


def outside_versions(stream: type[BaseStripeObject], version: str) -> str | None:
    """Why the stream does not exist in `version`, None where it does. An empty version is not known."""
    date, bounds = version[:10], []
    if version and date < stream.SINCE_VERSION:
        bounds.append(f"from {stream.SINCE_VERSION} on")
    if version and stream.UNTIL_VERSION and date >= stream.UNTIL_VERSION:
        bounds.append(f"before {stream.UNTIL_VERSION}")
    if not bounds:
        return None
    wanted = " and ".join(bounds)
    return f"API version {version} cannot be used for it: set advanced.api_version to one {wanted}."


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
    lacking = {name: denial for name, denial in denied.items() if denial.permissions}
    reason = _missing_permissions({"Events": events, **lacking}) if lacking else events.reason
    return f"Changes cannot be captured: {reason}"


def all_reasons(denied: Denied) -> str:
    """Each reason once, with the streams that it is about."""
    return " ".join(reasons for _, reasons, _ in by_cause(denied))


def by_cause(denied: Denied) -> Iterator[tuple[str, str, int]]:
    """Two groups of streams, those that a permission is missing for and the others: how many streams it has,
    in words, the reasons, and the level of a line about the group."""
    lacking = {name: denial for name, denial in denied.items() if denial.permissions}
    others = defaultdict[str, list[str]](list)
    for name, denial in denied.items():
        if not denial.permissions:
            others[denial.reason].append(name)
    if lacking:
        yield _number(lacking), _missing_permissions(lacking), logging.WARNING
    if others:
        reasons = (f"{', '.join(names)}: {reason.removesuffix('.')}" for reason, names in others.items())
        # Nobody has to do anything about what is not there.
        yield _number(denied.keys() - lacking), f"{'; '.join(reasons)}.", logging.INFO


def _missing_permissions(lacking: Denied) -> str:
    needed_by = defaultdict[str, list[str]](list)
    for name, denial in lacking.items():
        for permission in denial.permissions:
            needed_by[permission].append(name)
    named = ", ".join(
        f"'{permission}' ({', '.join(names)})" for permission, names in sorted(needed_by.items())
    )
    what, grant = ("permissions", "grant them") if len(needed_by) > 1 else ("permission", "grant it")
    grants = sorted({grant for denial in lacking.values() for grant in denial.grants})
    known_as = f" (Stripe: {', '.join(grants)})" if grants else ""
    return f"the API key lacks the read {what} {named}: {grant} {_WHERE}.{known_as}"


def _number(names: Collection[str]) -> str:
    return "1 stream is" if len(names) == 1 else f"{len(names)} streams are"
