"""What must hold for a batch: Great Expectations suites as data, and what runs them."""

import logging

from schemas.environment import prepare

prepare()
logging.getLogger("great_expectations").setLevel(logging.WARNING)
