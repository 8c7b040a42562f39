"""What a fetch function yields, in each of the loops: documents, which are captured, and cursors."""

from datetime import datetime
from typing import Any

from estuary_cdk.capture.common import AssociatedDocument, BaseDocument
from estuary_cdk.capture.task import Task


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
