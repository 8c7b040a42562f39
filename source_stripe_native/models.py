"""The public names of config, catalogue and state, for whoever imports the connector as a library.

This module defines nothing. Inside the connector, a module imports a name from where it is defined.
"""
# ruff: noqa: F403 - every name is for others

from source_stripe_native.config import DEFAULT_INTERVAL as DEFAULT_INTERVAL
from source_stripe_native.config import DEFAULT_WINDOW as DEFAULT_WINDOW
from source_stripe_native.config import Advanced as Advanced
from source_stripe_native.config import EndpointConfig as EndpointConfig
from source_stripe_native.config import ResourceConfig as ResourceConfig
from source_stripe_native.config import default_start_date as default_start_date
from source_stripe_native.state.shapes import ConnectorState as ConnectorState
from source_stripe_native.streams import STREAMS as STREAMS
from source_stripe_native.streams.billing import *
from source_stripe_native.streams.connect import *
from source_stripe_native.streams.core import *
from source_stripe_native.streams.customers import *
from source_stripe_native.streams.issuing import *
from source_stripe_native.streams.payments import *
from source_stripe_native.streams.products import *
from source_stripe_native.streams.radar import *
from source_stripe_native.streams.row import *
from source_stripe_native.stripe.pages import EVENTS_PATH as EVENTS_PATH
from source_stripe_native.stripe.pages import ListEnvelope as ListEnvelope
