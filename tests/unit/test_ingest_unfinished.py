"""What is held of requests that are not whole: a bound for all, and who makes room."""

from __future__ import annotations

from ingest.unfinished import PROGRESS_BYTES, Unfinished

MOST = 10 * PROGRESS_BYTES


class Slow:
    """A sender that notes that it was turned out."""

    def __init__(self, out: list[Slow]) -> None:
        self._out = out

    def turn_out(self) -> None:
        self._out.append(self)


def several(count: int) -> tuple[Unfinished, list[Slow], list[Slow]]:
    out: list[Slow] = []
    return Unfinished(MOST), [Slow(out) for _ in range(count)], out


def test_much_of_many_is_bounded_and_the_first_to_come_make_room() -> None:
    unfinished, senders, out = several(500)

    for sender in senders:
        unfinished.hold(sender, PROGRESS_BYTES // 2)

    assert out == senders[: len(out)]
    assert unfinished.held <= MOST + PROGRESS_BYTES // 2
    assert len(senders) - len(out) >= 20


def test_one_of_any_size_has_room_beside_others() -> None:
    unfinished, (large, *others), out = several(10)

    for sender in others:
        unfinished.hold(sender, PROGRESS_BYTES)
    for size in range(0, 60 * PROGRESS_BYTES, PROGRESS_BYTES):
        unfinished.hold(large, size)

    assert out == []


def test_who_gets_on_stays_and_who_sends_byte_by_byte_does_not() -> None:
    unfinished, (dribbling, getting_on, newcomer), out = several(3)

    unfinished.hold(getting_on, MOST)
    unfinished.hold(dribbling, MOST)
    for more in range(1, 10):
        unfinished.hold(getting_on, MOST + more * PROGRESS_BYTES)
        unfinished.hold(dribbling, MOST + more)
        if out:
            break
    unfinished.hold(newcomer, 1)

    assert out == [dribbling]


def test_what_is_whole_or_gone_takes_no_room() -> None:
    unfinished, (first, second, third), out = several(3)

    unfinished.hold(first, MOST)
    assert unfinished.let_go(first) == MOST
    assert unfinished.let_go(first) == 0
    unfinished.hold(second, MOST)
    unfinished.hold(third, MOST)

    assert out == []
    assert unfinished.held == 2 * MOST
