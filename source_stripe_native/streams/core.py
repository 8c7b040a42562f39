"""What every account has: events and files."""

from datetime import timedelta

from source_stripe_native.errors import EVENTS_AGED_OUT
from source_stripe_native.streams.row import BaseStripeObjectWithEvents


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
    # Expiry and metadata change without an event.
    RELIST = timedelta(days=30)
