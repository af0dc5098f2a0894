"""Read what the server says about a batch: each event stored, there already, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

import msgspec

from tracking.errors import Unreachable
from tracking.transport import decoded, says_why

if TYPE_CHECKING:
    from tracking.transport import Reply


LONGEST_TEXT = 200
"""Characters that are kept of a field's name and of a rule."""

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Rule(msgspec.Struct):
    field: str
    rule: str


class _Refused(msgspec.Struct):
    index: int
    status: int
    field: str
    rule: str


class _Answer(msgspec.Struct):
    stored: _Count
    duplicate: _Count
    refused: list[_Refused]


class _Refusal(msgspec.Struct):
    detail: Annotated[list[_Rule], msgspec.Meta(min_length=1)]


@dataclass(frozen=True)
class Verdict:
    """What became of a batch."""

    stored: int = 0
    duplicate: int = 0
    without_consent: int = 0
    rejected: tuple[tuple[int, str, str], ...] = ()
    """Position in the batch, field and rule of each event that will never be stored."""


class BatchRefused(Exception):
    """A batch is refused as a whole; a smaller one may do.

    Args:
        field: Which field broke a rule.
        rule: The rule.
        by_server: Whether the server says so, and not perhaps something in front of it.
    """

    def __init__(self, field: str, rule: str, *, by_server: bool = True) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule
        self.by_server = by_server


def judge(reply: Reply, size: int) -> Verdict:
    """Read the reply to a batch of ``size`` events.

    A key that is refused, a route that is not there or a reply of another form says nothing
    about the events: they are sent again later.

    Raises:
        BatchRefused: The batch is refused as a whole, for its size or for an event in it.
        Unreachable: It is worth sending again as it is.
    """
    _check_whole(reply)
    if reply.status != HTTPStatus.OK:
        raise Unreachable(f"status {reply.status}", reply.retry_after)
    answer = decoded(reply.body, _Answer)
    if not _is_whole(answer, size):
        raise Unreachable("the reply is to another batch")
    forbidden = [one for one in answer.refused if one.status == HTTPStatus.FORBIDDEN]
    rejected = [one for one in answer.refused if one.status != HTTPStatus.FORBIDDEN]
    return Verdict(
        answer.stored,
        answer.duplicate,
        len(forbidden),
        tuple((one.index, one.field[:LONGEST_TEXT], one.rule[:LONGEST_TEXT]) for one in rejected),
    )


def _is_whole(answer: _Answer, size: int) -> bool:
    """Whether every event of the batch has its verdict."""
    places = {one.index for one in answer.refused}
    judged = answer.stored + answer.duplicate + len(answer.refused)
    return judged == size and len(places) == len(answer.refused) and places <= set(range(size))


def _check_whole(reply: Reply) -> None:
    """Tell the server's own refusal of a batch from what stands between it and us."""
    if reply.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        raise BatchRefused("event", "is too large", by_server=says_why(reply))
    if reply.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        try:
            rules = decoded(reply.body, _Refusal).detail
        except Unreachable:
            return
        raise BatchRefused(rules[0].field[:LONGEST_TEXT], rules[0].rule[:LONGEST_TEXT])
