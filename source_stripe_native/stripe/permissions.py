"""Which streams can be read: with this key, with the account's products, in the API version in force.

Rule: discover and validate find out before anything is captured. All probes are sent at once, one request
each. A secret key may read everything that the account has, so one stream of each product is probed; only a
restricted key is probed stream by stream. A missing permission is named as Stripe's dashboard calls it. A
capture that opens asks for events alone.

The probes ask the key's own account. A missing permission and an API version hold for connected accounts too.
A product that the platform lacks says nothing about them: an account that lacks it too is set aside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from logging import Logger

from source_stripe_native.errors import (
    ABSENT,
    NOT_FOR_RESTRICTED_KEYS,
    PATH_UNKNOWN,
    PERMISSION_MISSING,
    StripeError,
    is_refusal,
)
from source_stripe_native.flow.waits import side_by_side
from source_stripe_native.streams.core import Events
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.denials import Denial, lacks_permission

NO_PARENT = "invalid_id"
"""A parent that is never there: what Stripe says of it tells whether its children could be read."""
ABOUT_PARENT = (400, 403, 404)
"""Statuses with which Stripe may refuse such a parent. Any other status leaves the question open."""


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
    parents = [parent for each in streams for parent in each.found_through()]
    wanted: list[type[BaseStripeObject]] = list(dict.fromkeys([Events, *streams, *parents]))
    asked = wanted if http.is_restricted else list(_one_of_each_product(wanted))
    found = await side_by_side(_denial(http, log, stream, connected) for stream in asked)
    answers = dict(zip(asked, found, strict=True))
    absent = {each.PRODUCT: denial for each, denial in answers.items() if denial and not http.is_restricted}
    denials = {
        each: outside_version(each, http.version) or answers.get(each) or absent.get(each.PRODUCT or "-")
        for each in wanted
    }
    denied: dict[str, Denial] = {}
    unproven: dict[str, Denial] = {}
    for each in streams:
        reasons = [reason for one in (each, *each.found_through()) if (reason := denials[one]) is not None]
        if lasting := [reason for reason in reasons if not reason.is_platforms_alone]:
            denied[each.NAME] = _joined(lasting)
        elif reasons:
            unproven[each.NAME] = reasons[0]
    readable = [each for each in streams if each.NAME not in denied]
    return Permissions(readable, denied, unproven, denials[Events])


def _joined(denials: Sequence[Denial]) -> Denial:
    """The denials of one stream and of those that it is found through, as one: what no key could read first,
    since no permission helps there."""
    if (hopeless := next((each for each in denials if not each.permissions), None)) is not None:
        return hopeless
    missing = dict.fromkeys(name for each in denials for name in each.permissions)
    grants = dict.fromkeys(name for each in denials for name in each.grants)
    return replace(denials[0], permissions=tuple(missing), grants=tuple(grants))


def _one_of_each_product(streams: Iterable[type[BaseStripeObject]]) -> Iterable[type[BaseStripeObject]]:
    """The first stream of each product that is no child."""
    first = {each.PRODUCT: each for each in reversed(list(streams)) if each.PRODUCT and not each.PARENT}
    return first.values()


def outside_version(stream: type[BaseStripeObject], version: str | None) -> Denial | None:
    reason = outside_versions(stream, version or "")
    return None if reason is None else Denial(reason)


async def _denial(
    http: StripeSession, log: Logger, stream: type[BaseStripeObject], connected: bool
) -> Denial | None:
    """Why the stream cannot be read, None where it can."""
    if outside_version(stream, http.version) is not None or stream.EMBEDDINGS:
        return None
    params = [] if stream.VARIANTS_OF_PARENT else [*next(iter(stream.VARIANTS.values())).items()]
    params += [("limit", "1")] if stream.PAGED else []
    params += [(name, NO_PARENT) for name in (stream.PARENT_PARAM, *stream.PARENT_QUERY) if name]
    try:
        await http.get(log, stream.list_path(NO_PARENT), params)
    except StripeError as error:
        if PERMISSION_MISSING.matches(error):
            return lacks_permission(stream.PERMISSION, error)
        if NOT_FOR_RESTRICTED_KEYS.matches(error):
            return Denial(f"{NOT_FOR_RESTRICTED_KEYS.advice} (Stripe: {error.stripe_message})")
        if any(known.matches(error) for known in stream.LIST_ENDS):
            return None
        others_may = connected and stream.PER_ACCOUNT
        if stream.PRODUCT and any(known.matches(error) for known in ABSENT):
            reason = f"the account does not have the product. (Stripe: {error.stripe_message})"
            return Denial(reason, is_platforms_alone=others_may)
        if stream.PARENT is None and PATH_UNKNOWN.matches(error):
            reason = f"the API version does not have the list. (Stripe: {error.stripe_message})"
            return Denial(reason)
        if others_may and stream.PARENT is None and is_refusal(error):
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
