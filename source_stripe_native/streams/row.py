"""What a row of the catalogue can say.

A row is a document class. Its class values say where the objects are listed, how a backfill is divided into
variants, which events change an object, and which quirks of Stripe's API are to be heeded. Its fields give
the collection's schema. No instance is made per document: documents pass through as Stripe sent them, plus
`_meta` and `account_id`.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, ClassVar, Final, Literal
from urllib.parse import quote

from estuary_cdk.capture.common import BaseDocument
from pydantic import Field

from source_stripe_native.errors import PARENT_GONE, KnownError

DAILY: Final = "0 0 * * *"
DISCOUNT_EVENTS: Final = (
    "customer.discount.created",
    "customer.discount.updated",
    "customer.discount.deleted",
)
"""They carry a discount, which names its customer, its subscription, its coupon and its promotion code."""

PREVIEW: Final = frozenset(
    (
        "customer.subscription.collection_paused",
        "customer.subscription.collection_resumed",
        "customer.subscription.custom_event",
        "customer.subscription.price_migration_failed",
        "financial_connections.account.refreshed_inferred_balances",
        "quote.accept_failed",
        "quote.accepting",
        "quote.draft",
        "quote.reestimate_failed",
        "quote.reestimated",
        "quote.stale",
        "subscription_schedule.price_migration_failed",
    )
)
"""The event types of Stripe's public preview that may be the only report of a change. Stripe is asked for
them only under a version that ends in `.preview`. What such an event carries may change: the object is read
again."""

ACTIVE: Final[Mapping[str, Mapping[str, str]]] = {
    "_active": {"active": "true"},
    "_inactive": {"active": "false"},
}
"""The variants of a list of which it is not documented whether it has what is archived."""

_FIELD: Final = re.compile(r"{(\w+)}")

Op = Literal["c", "u", "d"]
Document = dict[str, Any]
"""An object as Stripe sent it, plus `_meta` (`{"op": ...}`) and `account_id`."""


def ops(c: str = "", u: str = "", d: str = "") -> dict[str, Op]:
    """Event types by the operation that they stand for, each a list of names divided by blanks."""
    by_op: tuple[tuple[Op, str], ...] = (("c", c), ("u", u), ("d", d))
    return {each: op for op, names in by_op for each in names.split()}


def preview_events(prefix: str) -> "RelatedEvents":
    """The types of the preview that begin so: they carry an object with the id of the stream's."""
    return RelatedEvents(tuple(sorted(each for each in PREVIEW if each.startswith(prefix))), ids=("id",))


def segment(text: str) -> str:
    """An id as one segment of a path. Users chose some ids freely: an id may have any character, and may be a
    dot segment, which would lead out of the path."""
    escaped = quote(text, safe="")
    return escaped if escaped.strip(".") else escaped.replace(".", "%2E")


@dataclass(frozen=True)
class RelatedEvents:
    """Event types that carry another object, after which objects of the stream are read again: Stripe sends
    no event of their own for such a change."""

    types: tuple[str, ...]
    ids: tuple[str, ...] = ()
    """Where the other object names ours, as paths with dots; `*` stands for every element of a list."""
    list_by: str = ""
    """The query parameter by which the stream's list is read for these ids, where they are ids of the other
    object. Otherwise each id is one of the stream's objects."""
    shown_by: tuple[str, ...] = ()
    """Where the other object shows ids of ours, in lists that Stripe may cut. Where all of these lists are
    whole and show none, the event concerns none of ours. Empty: every event may."""
    removed_from: str = ""
    """The list inside the other object that shows ours, as a path with dots: one that it showed before the
    event, and shows no more, may be gone."""
    when_cut: bool = False
    """Whether the event concerns ours only where such a list is cut, so that more may be concerned than it
    shows."""
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Fields of the other object, each with the values of which it then has one."""
    before_version: str = ""
    """The API version of the event, as a date, from which on Stripe does send an event of the object's
    own."""
    shown_before: str = ""
    """The API version of the documents, as a date, from which on they do not show what changes."""

    def concerns(self, event: Mapping[str, Any], version: str | None) -> bool:
        """Whether the event is one of them, where documents are of the API `version`."""
        found = (event.get("data") or {}).get("object") or {}
        return (
            event["type"] in self.types
            and (not self.before_version or (event.get("api_version") or "") < self.before_version)
            and (not self.shown_before or (version or "") < self.shown_before)
            and all(found.get(name) in values for name, values in self.when.items())
        )


@dataclass(frozen=True)
class Expansion:
    """A field of a document that Stripe returns only when a request asks for it ("Expanding responses").
    Events never have the field, so an object that changed is read again for it, where it may have one."""

    path: str
    """The field, as a path with dots. `*` stands for each key of a map: such a field takes a request for each
    object, since Stripe wants each key named."""
    when: tuple[str, ...] = ()
    """Fields, as paths with dots, of which the object has at least one if it has this one. Empty: it always
    may."""
    when_value: str = ""
    """The value that such a field then has; empty for any value but null, false and zero."""
    owner: str = ""
    """The object inside the document that has the field, as a path with dots, where a list cannot be asked
    for it since it lies too deep. The owner is then read by its own id, once for all documents that show
    it."""
    owner_path: str = ""
    """Where the owner is read: a path below /v1/, followed by its id."""


@dataclass(frozen=True)
class NotYet:
    """A refusal of a parent's children that lasts until they are complete. They are left out while the parent
    says that they are not: the event of their completion is still to come, and lists them."""

    error: KnownError
    field: str
    """Where the parent says it, as a path with dots."""
    ready: str
    """The value that it then has."""
    event_type: str
    """The event that carries the parent once it does, one of the `PARENT_EVENT_TYPES`."""


@dataclass(frozen=True)
class Embedding:
    """Objects that no endpoint of their own returns: another stream's objects show them when asked to."""

    stream: "type[BaseStripeObject]"
    """The stream whose objects, the containers, show them."""
    paths: tuple[str, ...]
    """Where, as paths with dots; `*` stands for every element of a list. An id there can be expanded."""
    event_types: tuple[str, ...] = ()
    """The event types that carry such an object, which is then read again if it shows an id."""
    named_by: str = ""
    """The field by which an object with events of its own names the container that shows it."""
    expand: tuple[str, ...] | None = None
    """What containers are asked to expand, where that is not the `paths`; none where they show the
    objects."""
    read_at: str = ""
    """Where an object is read of which a container shows the id alone, since an expansion would lie too deep:
    a path below /v1/."""
    created_with_container: bool = False
    """Whether what an object shows is never younger than the object. Otherwise objects of any age are read,
    and what they show is filtered by its own creation time."""


@dataclass(frozen=True)
class TimeRange:
    """How a list is asked for the objects that were created in a range of seconds."""

    since: str = "created[gte]"
    """The query parameter with the first second."""
    until: str = "created[lt]"
    """The query parameter with the second after the last one."""
    since_is_exclusive: bool = False
    """Whether the list begins after the second that `since` names."""
    as_text: bool = False
    """Whether times are RFC 3339 text."""

    def params(self, start: int, end: int | None) -> list[tuple[str, str]]:
        """The query parameters for the seconds from `start` on, and before `end` where that is given."""
        first = max(start - 1, 0) if self.since_is_exclusive else start
        until = [] if end is None else [(self.until, self.value(end))]
        return [(self.since, self.value(first)), *until]

    def value(self, second: int) -> str:
        """A second as a query has it."""
        return f"{datetime.fromtimestamp(second, tz=UTC):%Y-%m-%dT%H:%M:%SZ}" if self.as_text else str(second)

    def names(self) -> set[str]:
        """The names of the parameters, without what stands in brackets."""
        return {each.partition("[")[0] for each in (self.since, self.until)}


class BaseStripeObject(BaseDocument, extra="allow"):
    """A stream's document, and as class values the stream's row in the catalogue."""

    NAME: ClassVar[str]
    """The resource's name in Flow."""
    API: ClassVar[str] = "v1"
    """The namespace of Stripe's API. In "v2" a list names the address of its next page. Times are text."""
    SEARCH_NAME: ClassVar[str]
    """Where the objects are listed: the path below the namespace, with `{parent}` for the id of a parent."""
    KEY: ClassVar[list[str]] = ["/id"]
    SCHEDULE: ClassVar[str] = ""
    """When to backfill again, for what changes without a trace: a cron expression in UTC."""
    DISABLED: ClassVar[bool] = False
    """Whether discover proposes the binding as disabled."""

    PERMISSION: ClassVar[str]
    """What Stripe's dashboard calls the read permission that a restricted key needs for it."""
    PRODUCT: ClassVar[str] = ""
    """The product without which an account has no such list. Discover asks one stream of each product for it,
    with any key."""
    SINCE_VERSION: ClassVar[str] = ""
    """The first API version that has it, with keys that are unique, as a date."""
    OLDER_ID: ClassVar[str] = ""
    """The field with the object's id in the versions before that one."""
    UNTIL_VERSION: ClassVar[str] = ""
    """The first API version that no longer has it, as a date."""
    PER_ACCOUNT: ClassVar[bool] = True
    """Whether each connected account has objects of its own; if not, only the platform is read."""
    ARE_ACCOUNTS: ClassVar[bool] = False
    """Whether the objects are the accounts themselves, which only the platform lists."""

    VARIANTS: ClassVar[Mapping[str, Mapping[str, str]]] = {"": {}}
    """The backfill's variants: the suffix of the state key, and the query parameters that select the part."""
    VARIANTS_OF_PARENT: ClassVar[bool] = False
    """Whether the variants divide the list of parents, and not each parent's list of children."""
    SINGLE: ClassVar[bool] = False
    """Whether each account has one such object, without an id. It is captured once a day: the day is its
    id."""
    PAGED: ClassVar[bool] = True
    """Whether the list takes `limit` and `starting_after`; if not, one answer has it all."""
    RANGED: ClassVar[bool] = False
    """Whether the list takes the whole days that it is about, as `start_time` and `end_time`."""
    CREATED: ClassVar[str] = "created"
    """The field with the creation time; the document has it as `created` too."""
    LISTS_BY_CREATED: ClassVar[bool] = True
    """Whether the list takes a range of creation times."""
    CREATED_IN: ClassVar[TimeRange] = TimeRange()
    """How it takes that range."""
    UNDATED: ClassVar[bool] = False
    """Whether some objects do not tell when they were created: a backfill then reads the whole list."""
    LIST_ENDS: ClassVar[tuple[KnownError, ...]] = ()
    """Permanent errors that mean that the list goes on no further."""
    RETRIEVE: ClassVar[str] = "{SEARCH_NAME}/{id}"
    """Where one object is read: a path below the namespace with the object's own fields in it."""
    BY_TEST_CLOCK: ClassVar[bool] = False
    """Whether the bare list leaves out the objects of test clocks, and lists those of one by `test_clock`."""
    UNLISTED: ClassVar[str] = ""
    """Where the one object is read that the list leaves out: a path below /v1/."""
    EXPANSIONS: ClassVar[tuple[Expansion, ...]] = ()
    """The fields that are in a document only because requests ask for them."""
    INCLUDES: ClassVar[tuple[str, ...]] = ()
    """The fields of an object of "v2" that are null unless a request asks for them."""
    LISTS_INCLUDED: ClassVar[bool] = True
    """Whether the list can be asked for them. If not, each object is read by itself."""
    NESTED: ClassVar[tuple[str, ...]] = ()
    """Lists inside the document that Stripe cuts, as paths with dots: they are completed."""

    BACKFILL_OP: ClassVar[Op] = "u"
    """The operation of a document that a backfill captures."""
    EVENT_TYPES: ClassVar[dict[str, Op]] = {}
    """The event types whose `data.object` is the stream's document, each with the operation it stands for."""
    EVENT_OBJECT: ClassVar[str] = ""
    """The `object` that such an event's document must be, where the types are shared with other streams."""
    RELATED_EVENTS: ClassVar[tuple[RelatedEvents, ...]] = ()
    """The events of other objects that report a change of the stream's objects."""
    IS_EVENT: ClassVar[bool] = False
    """Whether the documents are the events themselves."""
    POLLS: ClassVar[bool] = False
    """Whether new objects are found in the list, since no event tells of them."""
    THIN_EVENTS: ClassVar[tuple[str, ...]] = ()
    """The types of the events that name an object of the stream by its address, where it is read again."""
    THIN_EVENTS_IN: ClassVar["type[BaseStripeObject] | None"] = None
    """The stream with the list of these events, which is polled in place of the stream's own."""
    RELIST: ClassVar[timedelta] = timedelta()
    """How far back the list is read again once a day, for changes that no event tells of."""
    RELIST_IF: ClassVar[Mapping[str, str]] = {}
    """Fields of an object that changes so, or of its parent, and their value: the others are left."""
    CHANGES_AT: ClassVar[tuple[str, ...]] = ()
    """The fields with the times at which an object changes by the clock alone, as paths with dots: it is read
    again once the day has passed, however old it is."""
    ONLY_BY_CLOCK: ClassVar[bool] = False
    """Whether nothing else changes without an event: of the `RELIST`, the others are left out."""

    SNAPSHOTS: ClassVar[bool] = False
    """Whether the whole list is read again from time to time and compared with the last reading, for changes
    that no event tells of and that no filter finds."""
    SNAPSHOT_OF: ClassVar[Mapping[str, str]] = {}
    """The query parameters of the part of the list that is compared: the rest does not change so."""
    SHOWS_DELETIONS: ClassVar[bool] = False
    """Whether an object that is missing in such a reading is gone: its deletion has no event."""

    EMBEDDINGS: ClassVar[Mapping[str, Embedding]] = {}
    """Where the objects are found, by the variant's suffix, if no endpoint of their own lists them."""

    LISTED_IN: ClassVar["type[BaseStripeObject] | None"] = None
    """Of embedded_objects objects the stream with a list that has some of them: these are left out."""
    LISTED_BY: ClassVar[str] = ""
    """The field, and query parameter, by which that list is asked whether it has an object."""
    LISTED_IF: ClassVar[str] = ""
    """The field that is true only where that list has the object."""

    PARENT: ClassVar["type[BaseStripeObject] | None"] = None
    """The stream whose objects these are children of."""
    PARENT_ITEMS: ClassVar[str] = ""
    """The list inside the parent's document whose elements are the parents, where they are not the
    document. Of these the ones that are an `EMBEDDED_OBJECT`, where that is given."""
    PARENT_ITEM_ID: ClassVar[str] = "id"
    """Where such an element has the parent's id, as a path with dots. Elements without one are no parents."""
    WITHOUT_PARENT: ClassVar[str] = ""
    """Where the objects are listed that have no parent, newest first: a path below /v1/. New ones are found
    there, and `POLLS` is set."""
    PARENT_PARAM: ClassVar[str] = ""
    """The query parameter that names the parent, where the path does not."""
    PARENT_QUERY: ClassVar[Mapping[str, str]] = {}
    """Further query parameters of each parent's list, and the field of the parent that has the value. A
    parent without the value has no children. A document has the value too, by the parameter's name."""
    PARENT_FIELD: ClassVar[str] = ""
    """The field added to a document that does not name its parent itself."""
    PARENT_BARS: ClassVar[Mapping[str, str | bool]] = {}
    """Fields of a parent, as paths with dots, and the value with which its children cannot be read."""
    PARENT_EVENT_TYPES: ClassVar[tuple[str, ...]] = ()
    """The event types that carry a parent whose children may have changed: they are listed again."""
    EMBEDDED: ClassVar[str] = ""
    """The list inside the parent's document that shows its children, all of them unless it is cut."""
    EMBEDDED_EXPANDED: ClassVar[bool] = False
    """Whether the parent shows that list, or `PARENT_ITEMS`, only when a request asks for it."""
    EMBEDDED_OBJECT: ClassVar[str] = ""
    """The `object` that a child is, where the list shows other objects too."""
    CHILDLESS: ClassVar[str] = ""
    """The field that is null where a parent has no children."""
    CREATED_WITH_PARENT: ClassVar[bool] = False
    """Whether a child is never younger than its parent, so that parents from before the start date have none
    to capture. Otherwise parents of any age are read, and their children filtered by their own creation
    time."""
    NEWEST_LAST: ClassVar[bool] = False
    """Whether the children of a parent share a key, so that the newest must be the last one written."""
    TOLERATED: ClassVar[tuple[KnownError, ...]] = (PARENT_GONE,)
    """Permanent errors that mean that a parent has no children to read."""
    NOT_YET: ClassVar[NotYet | None] = None
    """The error that means that a parent's children cannot be read yet."""

    id: str
    object: str
    account_id: str | None = Field(
        default_factory=lambda: None,
        description="The account ID associated with the resource.",
    )

    @classmethod
    def identity(cls, found: Mapping[str, Any]) -> str:
        """What tells the object from all others of its account: its id, and what else the key names."""
        if not (names := _more_key_names(cls)):
            return str(found["id"])
        return "\n".join(str(found.get(name)) for name in names)

    @classmethod
    def is_listed_by_time(cls) -> bool:
        """Whether a backfill goes back in time from page to page."""
        if cls.PARENT is not None:
            return cls.CREATED_WITH_PARENT and cls.PARENT.is_listed_by_time()
        return cls.LISTS_BY_CREATED and not cls.UNDATED

    @classmethod
    def is_sliced(cls) -> bool:
        """Whether the backfill of a single account is divided by creation time. A stream that is backfilled
        again by schedule stays whole: the CDK keeps the cursors of such a stream alone. So does one of "v2",
        of whose lists no order is documented."""
        is_whole = cls.SCHEDULE or cls.API != "v1" or list(cls.VARIANTS) != [""]
        return cls.PARENT is None and cls.is_listed_by_time() and not is_whole

    @classmethod
    @functools.cache
    def all_event_types(cls) -> frozenset[str]:
        """The event types that report changes: events of the objects themselves, of their parents, or of
        other objects."""
        related = (each for events in cls.RELATED_EVENTS for each in events.types)
        containers = (each for embedding in cls.EMBEDDINGS.values() for each in embedding.event_types)
        return frozenset((*cls.EVENT_TYPES, *cls.PARENT_EVENT_TYPES, *related, *containers))

    @classmethod
    def follows_events(cls) -> bool:
        return cls.IS_EVENT or bool(cls.all_event_types())

    @classmethod
    def reads_lists(cls) -> bool:
        """Whether changes are found in lists, whatever events tell."""
        return cls.POLLS or cls.SNAPSHOTS or bool(cls.RELIST)

    @classmethod
    def found_through(cls) -> "list[type[BaseStripeObject]]":
        """The streams whose lists lead to the objects: of parents, of thin events, or of containers and of
        what they show."""
        parents = [row for row in (cls.PARENT, cls.LISTED_IN, cls.THIN_EVENTS_IN) if row is not None]
        return [*parents, *(embedding.stream for embedding in cls.EMBEDDINGS.values())]

    @classmethod
    def named_by(cls) -> "type[BaseStripeObject] | None":
        """The stream by whose ids alone objects are read again: this one, or that of the parents; None where
        Stripe returns them by no id."""
        if cls.SINGLE or cls.EMBEDDINGS:
            return None
        return cls.PARENT if cls.object_path({"id": "any"}) is None else cls

    @classmethod
    def list_params(cls) -> list[tuple[str, str]]:
        """The query parameters of the whole list; none where only its variants have parameters."""
        return list(cls.VARIANTS.get("", {}).items())

    @classmethod
    def filters(cls) -> frozenset[str]:
        """The query parameters that only leave objects out of a list: without them more is read, not less."""
        return frozenset(
            (*cls.CREATED_IN.names(), *(name for each in cls.VARIANTS.values() for name in each))
        )

    @classmethod
    def list_template(cls) -> str:
        """The path of the list, with `{parent}` for the id of a parent."""
        return f"/{cls.API}/{cls.SEARCH_NAME}"

    @classmethod
    def list_path(cls, parent: str = "") -> str:
        """Where the objects are listed, with the id of their `parent` where the path names it. Each id is one
        escaped segment."""
        return cls.list_template().format(parent=segment(parent))

    @classmethod
    def object_path(cls, found: Mapping[str, Any]) -> str | None:
        """Where the object is read by itself, None where no endpoint returns it or it lacks a field that the
        path is made of. Each id is one escaped segment."""
        if not cls.RETRIEVE:
            return None
        template = f"/{cls.API}/{cls.RETRIEVE.replace('{SEARCH_NAME}', cls.SEARCH_NAME)}"
        fields = {name: found.get(name) for name in _FIELD.findall(template)}
        ids = {name: segment(value) for name, value in fields.items() if isinstance(value, str) and value}
        return template.format_map(ids) if ids.keys() == fields.keys() else None


# pydantic would evaluate the types of the class values anew for each row, which takes a sixth of a start.
for _name in BaseStripeObject.__class_vars__:
    BaseStripeObject.__annotations__.pop(_name, None)


class BaseStripeObjectWithEvents(BaseStripeObject):
    created: int


class AccountObject(BaseStripeObject):
    """A document of a stream that the reference catalogue lacks. An id may be the same in two accounts, since
    users choose some ids and Stripe some for everybody: the account is part of the key."""

    KEY: ClassVar[list[str]] = ["/account_id", "/id"]
    DISABLED = True

    account_id: str = Field(description="The account ID associated with the resource.")


class DatedAccountObject(AccountObject):
    created: int


@cache
def _more_key_names(cls: type[BaseStripeObject]) -> tuple[str, ...]:
    """The fields of a key that has more than the account's and the object's ids."""
    names = tuple(each.removeprefix("/") for each in cls.KEY)
    is_more = len(names) > 1 and not {"account_id", "id"} >= set(names)
    return tuple(each for each in names if each != "account_id") if is_more else ()
