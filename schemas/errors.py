"""One tree for every error that SmartMatch raises on purpose.

SmartMatchError
├── InvalidInput            a field broke a rule; names both, never the value
├── ConsentRequired         nobody allowed this; also when the record cannot be read
├── ContentDiffers          the same event id was stored with other content
├── NotReady                a store is absent, locked, full or of another schema
│   └── QueueFull           more was sent than can be made durable now
├── UnsafeEngine            the database would lose what it acknowledged
├── KeyMissing              a secret that is needed is not in the key file
├── LeaseLost               another run of the same flow has taken over
├── StepFailed              a step of a flow met an error of a library
├── BatchUnusable           a batch is broken as a whole; staging is untouched
├── SumsDiffer              the running sums are not what a recount gives
├── NotEnoughDecisions      too little evidence to learn from
├── NotRegistered           the registry has no such model, version or alias
└── AnotherRegistry         the books are of another registry than the one in use
"""

from __future__ import annotations

import traceback

_FRAMES = 5
"""Places that a log tells of an error, the innermost first."""


def place_of(error: BaseException) -> str:
    """Return where an error was raised, by files and lines.

    For logs, with its class: its message may hold a value, and so may that of its cause.
    """
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    places = (f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return " < ".join(places)


def told_in_log(error: BaseException) -> str:
    """Return the class of an error and where it was raised, and nothing of what it says."""
    return f"{type(error).__name__} at {place_of(error)}"


class SmartMatchError(Exception):
    """Anything that SmartMatch raises on purpose."""


class InvalidInput(SmartMatchError):
    """A field broke a rule.

    Args:
        field: Path of the field, such as ``match_parameters[]``; never a name that a
            sender chose.
        rule: The rule in words, such as ``must be at most 1``; never the value.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule

    def __reduce__(self) -> tuple[type[InvalidInput], tuple[str, str]]:
        """Let it travel from a worker's process, whole."""
        return type(self), (self.field, self.rule)


class ConsentRequired(SmartMatchError):
    """Nobody allowed this, or whether anybody did cannot be read."""


class ContentDiffers(SmartMatchError):
    """The same event id was stored with other content."""


class NotReady(SmartMatchError):
    """A store is absent, locked, full or of another schema; worth trying again."""


class QueueFull(NotReady):
    """More was sent than can be made durable now; worth trying again."""


class UnsafeEngine(SmartMatchError):
    """The database is configured so that it would lose what it acknowledged."""


class KeyMissing(SmartMatchError):
    """A secret that is needed is not in the key file."""


class LeaseLost(SmartMatchError):
    """Another run of the same flow has taken over; nothing was written."""


class StepFailed(SmartMatchError):
    """A step of a flow met an error of a library; says its class and place, not what it said."""


class BatchUnusable(SmartMatchError):
    """A batch is broken as a whole; staging is untouched.

    Args:
        suite: Name of the suite that it breaks.
        rule: The rule, in words.
    """

    def __init__(self, suite: str, rule: str) -> None:
        super().__init__(suite, rule)
        self.suite, self.rule = suite, rule

    def __str__(self) -> str:
        return f"{self.suite}: {self.rule}"


class SumsDiffer(SmartMatchError):
    """The running sums are not what a recount gives."""


class NotEnoughDecisions(SmartMatchError):
    """Too little evidence to learn from."""


class NotRegistered(SmartMatchError):
    """The registry has no such model, version or alias."""


class AnotherRegistry(SmartMatchError):
    """The books are of another registry than the one in use; nothing was written."""
