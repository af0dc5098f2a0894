"""The steps that a person would want to see, retry or time."""

from schemas.environment import prepare

prepare()
