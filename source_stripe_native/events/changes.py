"""Changes: what the events of one window report about each object of a stream, newest change first.

Events are read newest first: the first events seen of an object are its newest, and older events are skipped.
Within one second Stripe gives events no order, so a change holds all events of the last second in which its
subject changed. The subject is one of six, as the event's type says:

    an object    the event carries the object, or another object that names it (`RELATED_EVENTS`)
    a parent     the event carries a parent whose children may have changed (`PARENT_EVENT_TYPES`)
    a list       the event carries an object by which the stream's list is to be read (`list_by`)
    a container  the event carries an object that shows objects of the stream (`EMBEDDINGS`)
    a removal    the event carries an object that no longer shows one of the stream (`removed_from`)
    an address   the event is thin, and names where the object is read (`THIN_EVENTS`)
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from source_stripe_native.events.feed import WindowEvents
from source_stripe_native.streams.row import BaseStripeObject, RelatedEvents
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import get_path
from source_stripe_native.stripe.pages import Source


class Kind(Enum):
    OBJECT = auto()
    PARENT = auto()
    LIST = auto()
    CONTAINER = auto()
    REMOVAL = auto()
    ADDRESS = auto()


@dataclass(frozen=True)
class Subject:
    """What changed: an object of the stream, a parent, a part of the stream's list, a container, an object of
    the stream that another object no longer shows, or one that is known by its address."""

    kind: Kind
    id: str
    """The object's id, or the path of its address."""
    selected_by: str = ""
    """Of a list the query parameter, of a container the suffix of its embedding, of a removal the path of the
    list that showed the object, of an address what the object calls itself."""

    def __str__(self) -> str:
        return f"{self.kind.name}:{self.selected_by}:{self.id}"

    @classmethod
    def parse(cls, text: str) -> "Subject":
        kind, selected_by, subject_id = text.split(":", 2)
        return cls(Kind[kind], subject_id, selected_by)


@dataclass
class Change:
    """What the events of one second report about one subject. `events` carry the subject itself, newest
    first; `is_related` says that events of other objects report a change too, so that none of them may be
    current."""

    subject: Subject
    events: list[Json] = field(default_factory=list)
    is_related: bool = False
    reported: Mapping[str, int] = field(default_factory=dict)
    """Of a container: the objects that have events of their own, each with the second of its newest one. What
    the container's event shows of them is newer only if it comes from a later second."""

    @property
    def deletion(self) -> Json | None:
        """The event that says that the subject is gone."""
        return next((event for event in self.events if event["type"].endswith(".deleted")), None)


async def newest_changes(source: Source, events: WindowEvents, not_before: int = 0) -> AsyncIterator[Change]:
    """The last change of each subject, newest first. Changes that are new to the binding only, and none from
    before `not_before` (Unix seconds)."""
    stream, early = source.stream, _captured_later(events)
    done = {subject for subject, (_, is_carried) in early.items() if is_carried}
    reread = early.keys() - done
    """Objects that only events of other objects have reported so far. If such an object is gone, the deletion
    that says so is an older event."""
    reported = {subject.id: at for subject, (at, _) in early.items() if subject.kind is Kind.OBJECT}
    second: dict[Subject, Change] = {}
    new_ones: dict[Subject, Change] = {}
    current_second: int | None = None
    async for is_new, event in events.newest_first(stream.all_event_types(), source.count):
        if event["created"] != current_second:
            for change in _newest_first(new_ones):
                _record(events, change, current_second)
                yield change
            done.update(subject for subject, change in second.items() if change.events)
            reread.update(subject for subject, change in second.items() if not change.events)
            second, new_ones, current_second = {}, {}, event["created"]
        for subject in _subjects(source, event):
            carries = _carries(stream, event, subject)
            if stream.EMBEDDINGS and subject.kind is Kind.OBJECT:
                reported.setdefault(subject.id, event["created"])
            if subject in done:
                continue
            if subject in reread and not (carries and stream.EVENT_TYPES.get(event["type"]) == "d"):
                # What was read again is newer. Of older events only a deletion still matters.
                done.update([subject] if carries else [])
                continue
            change = second.setdefault(subject, Change(subject, reported=reported))
            if carries:
                change.events.append(event)
            else:
                change.is_related = True
            if is_new and event["created"] >= not_before:
                new_ones[subject] = change
    for change in _newest_first(new_ones):
        _record(events, change, current_second)
        yield change


def _captured_later(events: WindowEvents) -> dict[Subject, tuple[int, bool]]:
    """The subjects that the binding captured early, in versions that are newer than the window: no event of
    the window may take their place."""
    later = events.early.after(events.window.end)
    return {subject: at for subject, at in later.items() if isinstance(subject, Subject)}


def _record(events: WindowEvents, change: Change, second: int | None) -> None:
    """Records a change of `second` that is captured early."""
    if events.found is not None and second is not None:
        events.found.subjects.setdefault(change.subject, (second, bool(change.events)))


def _newest_first(changes: dict[Subject, Change]) -> list[Change]:
    """The changes of one second. What a list shows now is newer than what the events of that second carry,
    and what a container showed when it was deleted is the last of them."""

    def place(change: Change) -> int:
        if change.subject.kind is Kind.LIST:
            return 0
        return 1 if change.subject.kind is Kind.CONTAINER and change.deletion else 2

    return sorted(changes.values(), key=place)


def _subjects(source: Source, event: Json) -> Iterator[Subject]:
    """What an event reports a change of. An event without an object is skipped, with a warning."""
    stream, kind, obj = source.stream, event["type"], get_path(event, "data.object")
    if stream.SINGLE:
        # The event has no id that would name the day: the object is read again.
        yield Subject(Kind.OBJECT, stream.NAME)
    elif kind in stream.EVENT_TYPES or kind in stream.PARENT_EVENT_TYPES:
        if container := _named_container(stream, event, obj):
            yield container
        elif not _has_id(obj):
            source.log.warning(
                "an event carries no object with an id and is skipped: backfill the binding again if an "
                "object is missing",
                {"event": event.get("id"), "type": kind, "account": source.account_id},
            )
        elif kind in stream.PARENT_EVENT_TYPES:
            yield Subject(Kind.PARENT, obj["id"])
        elif not stream.EVENT_OBJECT or obj.get("object") == stream.EVENT_OBJECT:
            yield Subject(Kind.OBJECT, obj["id"])
    for suffix, embedding in stream.EMBEDDINGS.items():
        if kind in embedding.event_types and _has_id(obj):
            yield Subject(Kind.CONTAINER, obj["id"], suffix)
    for related in stream.RELATED_EVENTS:
        if related.concerns(event, source.http.version):
            yield from _related_subjects(related, event, obj)


def _named_container(stream: type[BaseStripeObject], event: Json, obj: Any) -> Subject | None:
    """The container that an embedded object names where the event's version gave such objects no id: the
    container shows it. None where the object is known by its id, and where it names none."""
    is_older = (event.get("api_version") or stream.SINCE_VERSION) < stream.SINCE_VERSION
    if not isinstance(obj, dict) or (_has_id(obj) and not is_older):
        return None
    for suffix, embedding in stream.EMBEDDINGS.items():
        if isinstance(name := obj.get(embedding.named_by), str) and name:
            return Subject(Kind.CONTAINER, name, suffix)
    return None


def _related_subjects(related: RelatedEvents, event: Json, obj: Any) -> Iterator[Subject]:
    """What an event of another object, which carries `obj`, reports a change of."""
    if _may_concern(related, obj):
        for object_id in dict.fromkeys(_ids(obj, related.ids)):
            yield Subject(Kind.LIST if related.list_by else Kind.OBJECT, object_id, related.list_by)
    if related.removed_from:
        for object_id in removed(event, related.removed_from):
            yield Subject(Kind.REMOVAL, object_id, related.removed_from)


def _carries(stream: type[BaseStripeObject], event: Json, subject: Subject) -> bool:
    """Whether the event carries the subject itself."""
    if subject.kind is Kind.CONTAINER:
        return event["type"] in stream.EMBEDDINGS[subject.selected_by].event_types
    own_types = (*stream.EVENT_TYPES, *stream.PARENT_EVENT_TYPES)
    is_own = subject.id == get_path(event, "data.object.id") and event["type"] in own_types
    return subject.kind is Kind.REMOVAL or is_own


def removed(event: Json, path: str) -> dict[str, Json]:
    """The objects, by id, that the list at `path` inside the event's object showed before and no longer
    does."""
    before, now = (
        {obj["id"]: obj for obj in _values(event, [*place.split("."), "data", "*"]) if _has_id(obj)}
        for place in (f"data.previous_attributes.{path}", f"data.object.{path}")
    )
    return {object_id: obj for object_id, obj in before.items() if object_id not in now}


def _has_id(obj: Any) -> bool:
    return isinstance(obj, dict) and isinstance(obj.get("id"), str)


def _may_concern(related: RelatedEvents, obj: Any) -> bool:
    if not related.shown_by:
        return True
    lists = (get_path(obj, path.partition(".data.")[0]) for path in related.shown_by)
    # Some versions have no such list, or another kind of one.
    is_cut = any(not isinstance(shown, dict) or shown.get("has_more") is not False for shown in lists)
    return is_cut or (not related.when_cut and any(_ids(obj, related.shown_by)))


def _ids(obj: Any, paths: tuple[str, ...]) -> Iterator[str]:
    """The ids at `paths`; an expanded object stands for its id."""
    for path in paths:
        for value in _values(obj, path.split(".")):
            object_id = value.get("id") if isinstance(value, dict) else value
            if isinstance(object_id, str) and object_id:
                yield object_id


def _values(value: Any, names: list[str]) -> Iterator[Any]:
    """The values at a path, in which `*` stands for each item of an array."""
    if not names:
        yield value
    elif names[0] == "*" and isinstance(value, list):
        for item in value:
            yield from _values(item, names[1:])
    elif isinstance(value, dict):
        yield from _values(value.get(names[0]), names[1:])
