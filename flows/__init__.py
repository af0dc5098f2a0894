"""The order of steps: settings, steps, result."""

from schemas.environment import prepare

prepare()
