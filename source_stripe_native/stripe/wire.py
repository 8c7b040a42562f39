"""What goes over the wire: the types of JSON objects and of query parameters."""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]
Params = Sequence[tuple[str, str]]
