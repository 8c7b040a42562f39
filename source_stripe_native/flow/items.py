"""What a fetch function yields, in each of the loops: documents, which are captured, cursors, and commits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from estuary_cdk.capture.common import AssociatedDocument, BaseDocument
from estuary_cdk.capture.task import Task


@dataclass(frozen=True)
class Commit:
    """Asks for a checkpoint of the documents so far, which moves no cursor. The merge patch of the binding's
    `snapshot` in the state is written with it."""

    entries: Mapping[str, Any] = field(default_factory=dict)


def capture(item: object, binding_index: int, task: Task) -> bool:
    """Captures `item` if it is a document. Returns False for a cursor, which is left to the caller."""
    if isinstance(item, AssociatedDocument):
        task.captured(item.binding, item.doc)
    elif isinstance(item, BaseDocument | dict):
        task.captured(binding_index, item)
    else:
        return False
    return True


def later(cursor: Any, previous: Any) -> datetime:
    """`cursor`, once it is seen to move forward in time. Raises RuntimeError otherwise."""
    if not (isinstance(cursor, datetime) and isinstance(previous, datetime)):
        raise RuntimeError(f"a fetch of changes yielded the cursor {cursor!r} after {previous!r}: no times")
    if cursor <= previous:
        raise RuntimeError(
            f"a fetch of changes yielded the cursor {cursor!r}, which is not later than {previous!r}"
        )
    return cursor
