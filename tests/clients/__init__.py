"""`make clients`: Stripe's own clients against the local Stripe. They need registries: no part of pytest."""

import logging

from estuary_cdk.logger import FlowLogger

# The CDK insists on its own class of the logger "flow", whichever module is the first to ask for that logger.
logging.setLoggerClass(FlowLogger)
