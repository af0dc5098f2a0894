"""What must hold for a batch: Great Expectations suites as data, and what runs them."""

from schemas.environment import prepare

prepare()
