"""Subjects: what a change may be of, and which of them a binding captured before its cursor came to them.

An event's type says which of six the subject is:

    an object    the event carries the object, or another object that names it (`RELATED_EVENTS`)
    a parent     the event carries a parent whose children may have changed (`PARENT_EVENT_TYPES`)
    a list       the event carries an object by which the stream's list is to be read (`list_by`)
    a container  the event carries an object that shows objects of the stream (`EMBEDDINGS`)
    a removal    the event carries an object that no longer shows one of the stream (`removed_from`)
    an address   the event is thin, and names where the object is read (`THIN_EVENTS`)
"""

from dataclasses import dataclass, field
from enum import Enum, auto


class Kind(Enum):
    OBJECT = auto()
    PARENT = auto()
    LIST = auto()
    CONTAINER = auto()
    REMOVAL = auto()
    ADDRESS = auto()


@dataclass(frozen=True)
class Subject:
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
class CapturedEarly:
    """What a binding captured of an account's events before its cursor came to them. Made by the feed;
    `newest_changes` asks it and fills a new one, which is added once its documents are in a checkpoint.

        read before |- overlap -|------ window ------|-- lag --| now
                  cursor               next cursor
                                                E captured early, after a notice

    A notice (notices/) has the newest events read at once, without the lag. The cursor stays where it is: its
    windows are read later with lag and overlap, as ever, and find what was not visible yet. Rule: what was
    captured early is not captured again, and nothing older is captured after it. The events are remembered
    until the overlap before the binding's cursor has passed them. With `Settings.early_events` of them ahead
    of the cursor nothing more is captured early: nothing is forgotten."""

    events: dict[str, int] = field(default_factory=dict)
    """When each event was created, by id."""
    subjects: dict[Subject, tuple[int, bool]] = field(default_factory=dict)
    """The subjects of changes: the second of the newest event, and whether that event carried the subject."""

    def after(self, second: int) -> dict[Subject, tuple[int, bool]]:
        """The subjects that were captured in a version from `second` or later."""
        return {subject: at for subject, at in self.subjects.items() if at[0] >= second}
