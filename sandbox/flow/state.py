"""A connector's state: how it is keyed, and how the updates of checkpoints change it.

An update is an RFC 7396 merge patch, or a replacement. Patches are applied one after the other, never
combined and then applied: two patches do not always have a third that does what both do (delete an object,
then set one member of it). Only what is shown of a transaction is combined, and it falls back to a
replacement where that is so.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import json_merge_patch
import orjson
from jsonschema_rs import Draft202012Validator

from sandbox.flow.errors import FlowError

_IS_KEPT = Draft202012Validator({"pattern": r"^[\p{Alphabetic}\p{N}+_.=-]$"}).is_valid
"""Whether a character stays in a state key. Flow's letters are those of Unicode's property: vowel signs of
many scripts are among them, which `str.isalnum` does not know."""


@dataclass(frozen=True)
class StateUpdate:
    updated: Any
    merge_patch: bool = True

    def apply(self, state: Any) -> Any:
        """`state` after this update. May change `state` itself, and shares nothing with the update."""
        updated = copy.deepcopy(self.updated)
        return json_merge_patch.merge(state, updated) if self.merge_patch else updated


class _NotAPatchError(Exception):
    """Two patches that no single patch stands for."""


def combined(updates: Sequence[StateUpdate], state: Any) -> StateUpdate | None:
    """One update that stands for `updates`, which lead to `state`; None when there are none."""
    if not updates:
        return None
    merge_patch, updated = updates[0].merge_patch, updates[0].updated
    for update in updates[1:]:
        if not update.merge_patch:
            merge_patch, updated = False, update.updated
        elif not merge_patch:
            updated = StateUpdate(update.updated).apply(copy.deepcopy(updated))
        else:
            try:
                updated = _composed(updated, update.updated)
            except _NotAPatchError:
                return StateUpdate(copy.deepcopy(state), merge_patch=False)
    return StateUpdate(updated, merge_patch)


def _composed(first: Any, second: Any) -> Any:
    """The merge patch that does what `first` and then `second` do. Unlike applying, it keeps nulls."""
    if not isinstance(second, dict):
        return second
    if not isinstance(first, dict):
        raise _NotAPatchError
    return {**first, **{k: _composed(first[k], v) if k in first else v for k, v in second.items()}}


def state_key(resource_path: Iterable[str], backfill: int = 0) -> str:
    """The name of a binding's state: its resource path, and the count of backfills that were asked for.

    Letters and digits of all scripts stay as they are. The slash between two parts does not."""
    # `quote` leaves the tilde alone, whatever is asked of it.
    path = "".join(
        each if _IS_KEPT(each) else quote(each, safe="").replace("~", "%7E")
        for each in "/".join(resource_path)
    )
    return f"{path}.v{backfill}" if backfill else path


def read_state(path: Path) -> dict[str, Any]:
    """The state in a file, which is empty if there is none. Raises FlowError."""
    try:
        state = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise FlowError(f"can't read the state in {path}: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise FlowError(f"{path} has no state: it is not JSON ({error})") from error
    if not isinstance(state, dict):
        raise FlowError(f"{path} has no state: it is not a JSON object")
    return state


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Puts a state into a file, whole or not at all. Raises FlowError."""
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        draft.replace(path)
    except OSError as error:
        raise FlowError(f"can't write the state to {path}: {error.strerror}") from error
