"""Changes: what the events of one window report about each object of a stream, newest change first.

Events are read newest first: the first events seen of an object are its newest, and older events are skipped.
Within one second Stripe gives events no order, so a change holds all events of the last second in which its
subject changed.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from source_stripe_native.events.feed import WindowEvents
from source_stripe_native.events.subjects import Kind, Subject
from source_stripe_native.streams.row import BaseStripeObject, RelatedEvents
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.documents import get_path
from source_stripe_native.stripe.expansions import values_at
from source_stripe_native.stripe.pages import Source


@dataclass
class Change:
    """What the events of one second report about one subject. `events` carry the subject itself, newest
    first; `is_related` says that events of other objects report a change too, so that none of them may be
    current."""

    subject: Subject
    events: list[Json] = field(default_factory=list)
    is_related: bool = False
    is_new: bool = False
    """Whether one of these events is new to the binding."""
    reported: Mapping[str, int] = field(default_factory=dict)
    """Of a container: the objects that have events of their own, each with the second of its newest one. What
    the container's event shows of them is newer only if it comes from a later second."""

    @property
    def deletion(self) -> Json | None:
        """The event that says that the subject is gone."""
        return next((event for event in self.events if event["type"].endswith(".deleted")), None)


async def newest_changes(
    source: Source, events: WindowEvents, not_before: int = 0
) -> AsyncIterator[list[Change]]:
    """The last change of each subject, newest first, at least `Settings.changes_at_once` together. Changes
    that are new to the binding only, and none from before `not_before` (Unix seconds)."""
    # Of what the binding captured early, no event of the window may take the place.
    stream, early = source.stream, events.early.after(events.window.end)
    done = {subject for subject, (_, is_carried) in early.items() if is_carried}
    reread = early.keys() - done
    """Objects that only events of other objects have reported so far. If such an object is gone, the deletion
    that says so is an older event."""
    reported = {subject.id: at for subject, (at, _) in early.items() if subject.kind is Kind.OBJECT}
    changes: dict[Subject, Change] = {}
    batch: list[Change] = []
    second = 0
    async for is_new, event in events.newest_first(stream.all_event_types(), source.count):
        if event["created"] != second:
            batch += _new_ones(events, changes, second)
            if len(batch) >= source.settings.changes_at_once:
                yield batch
                batch = []
            done.update(subject for subject, change in changes.items() if change.events)
            reread.update(subject for subject, change in changes.items() if not change.events)
            changes, second = {}, event["created"]
        for subject, is_carried in _subjects(source, event):
            if stream.EMBEDDINGS and subject.kind is Kind.OBJECT:
                reported.setdefault(subject.id, second)
            early_second, was_carried = events.early.subjects.get(subject, (0, False))
            if second < early_second:
                # The newer event may be missing: it became visible while the window was read.
                (done if was_carried else reread).add(subject)
            if subject in done:
                continue
            if subject in reread and not (is_carried and stream.EVENT_TYPES.get(event["type"]) == "d"):
                # What was read again is newer. Of older events only a deletion still matters.
                done.update([subject] if is_carried else [])
                continue
            change = changes.setdefault(subject, Change(subject, reported=reported))
            if is_carried:
                change.events.append(event)
            else:
                change.is_related = True
            change.is_new = change.is_new or (is_new and second >= not_before)
    yield batch + _new_ones(events, changes, second)


def _new_ones(events: WindowEvents, changes: Mapping[Subject, Change], second: int) -> list[Change]:
    """The new changes of one second, recorded where they are captured early."""

    def place(change: Change) -> int:
        # What a list shows now is newer than what the events of that second carry, and what a container
        # showed when it was deleted is the last of them.
        if change.subject.kind is Kind.LIST:
            return 0
        return 1 if change.subject.kind is Kind.CONTAINER and change.deletion else 2

    new_ones = sorted((change for change in changes.values() if change.is_new), key=place)
    if events.found is not None:
        for change in new_ones:
            events.found.subjects.setdefault(change.subject, (second, bool(change.events)))
    return new_ones


def _subjects(source: Source, event: Json) -> Iterator[tuple[Subject, bool]]:
    """What an event reports a change of, each with whether the event carries it. An event without an object
    is skipped, with a warning."""
    stream, kind, obj = source.stream, event["type"], get_path(event, "data.object")
    if stream.SINGLE:
        # The event has no id that would name the day: the object is read again.
        yield Subject(Kind.OBJECT, stream.NAME), False
    elif kind in stream.EVENT_TYPES or kind in stream.PARENT_EVENT_TYPES:
        if container := _named_container(stream, event, obj):
            yield container, False
        elif not _has_id(obj):
            source.log.warning(
                "an event carries no object with an id and is skipped: backfill the binding again if an "
                "object is missing",
                {"event": event.get("id"), "type": kind, "account": source.account_id},
            )
        elif kind in stream.PARENT_EVENT_TYPES:
            yield Subject(Kind.PARENT, obj["id"]), True
        elif not stream.EVENT_OBJECT or obj.get("object") == stream.EVENT_OBJECT:
            yield Subject(Kind.OBJECT, obj["id"]), True
    for suffix, embedding in stream.EMBEDDINGS.items():
        if kind in embedding.event_types and _has_id(obj):
            yield Subject(Kind.CONTAINER, obj["id"], suffix), True
    for related in stream.RELATED_EVENTS:
        if related.concerns(event, source.http.version):
            yield from _related_subjects(related, event, obj)


def _related_subjects(related: RelatedEvents, event: Json, obj: Any) -> Iterator[tuple[Subject, bool]]:
    """The same for an event of another object, which carries `obj`."""
    kind = Kind.LIST if related.list_by else Kind.OBJECT
    if _may_concern(related, obj):
        for object_id in dict.fromkeys(_ids(obj, related.ids)):
            yield Subject(kind, object_id, related.list_by), False
    for object_id in removed(event, related.removed_from):
        yield Subject(Kind.REMOVAL, object_id, related.removed_from), True


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


def removed(event: Json, path: str) -> dict[str, Json]:
    """The objects, by id, that the list at `path` inside the event's object showed before and no longer does;
    none where there is no `path`."""
    before, now = (
        {obj["id"]: obj for obj in values_at(event, f"data.{place}.{path}.data.*") if _has_id(obj)}
        for place in ("previous_attributes", "object")
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
    for value in (value for path in paths for value in values_at(obj, path)):
        object_id = value.get("id") if isinstance(value, dict) else value
        if isinstance(object_id, str) and object_id:
            yield object_id
