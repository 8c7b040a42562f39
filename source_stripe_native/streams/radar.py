"""Radar: reviews, fraud warnings and value lists."""

from pydantic import BaseModel

from source_stripe_native.streams.row import DAILY, BaseStripeObjectWithEvents, ops


class EarlyFraudWarning(BaseStripeObjectWithEvents):
    NAME = "EarlyFraudWarning"
    SEARCH_NAME = "radar/early_fraud_warnings"
    PERMISSION = "Radar: Early fraud warnings"
    EVENT_TYPES = ops("radar.early_fraud_warning.created", "radar.early_fraud_warning.updated")


class Reviews(BaseStripeObjectWithEvents):
    NAME = "Reviews"
    SEARCH_NAME = "reviews"
    PERMISSION = "Radar: Reviews"
    EVENT_TYPES = ops("review.opened", "review.closed")


class ListItemsPreview(BaseModel, extra="allow"):
    has_more: bool
    data: list["ValueListItems"]


class ValueLists(BaseStripeObjectWithEvents):
    NAME = "ValueLists"
    SEARCH_NAME = "radar/value_lists"
    SCHEDULE = DAILY
    DISABLED = True
    PERMISSION = "Radar: Value lists"
    POLLS = True
    NESTED = ("list_items",)

    list_items: ListItemsPreview


class ValueListItems(BaseStripeObjectWithEvents):
    NAME = "ValueListItems"
    SEARCH_NAME = "radar/value_list_items"
    DISABLED = True
    PERMISSION = "Radar: Value lists"
    PARENT = ValueLists
    PARENT_PARAM = "value_list"
    EMBEDDED = "list_items"
    POLLS = True
