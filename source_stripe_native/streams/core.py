"""What every account has: events and files."""

from datetime import timedelta

from source_stripe_native.errors import EVENTS_AGED_OUT
from source_stripe_native.streams.row import BaseStripeObjectWithEvents, DatedAccountObject, ops


class Events(BaseStripeObjectWithEvents):
    NAME = "Events"
    SEARCH_NAME = "events"
    PERMISSION = "Events"
    # An event never changes.
    BACKFILL_OP = "c"
    IS_EVENT = True
    LIST_ENDS = (EVENTS_AGED_OUT,)


class Files(BaseStripeObjectWithEvents):
    NAME = "Files"
    SEARCH_NAME = "files"
    PERMISSION = "Files"
    POLLS = True
    NESTED = ("links",)


class FilesLink(BaseStripeObjectWithEvents):
    NAME = "FilesLink"
    SEARCH_NAME = "file_links"
    PERMISSION = "Files"
    POLLS = True
    # Metadata changes without an event, and a link expires at a time of its own.
    RELIST = timedelta(days=30)
    CHANGES_AT = ("expires_at",)


class TestClocks(DatedAccountObject):
    NAME = "TestClocks"
    SEARCH_NAME = "test_helpers/test_clocks"
    PERMISSION = "Test clocks"
    PRODUCT = "test mode"
    LISTS_BY_CREATED = False
    EVENT_TYPES = ops(
        "test_helpers.test_clock.created",
        "test_helpers.test_clock.advancing test_helpers.test_clock.internal_failure "
        "test_helpers.test_clock.ready",
        "test_helpers.test_clock.deleted",
    )
