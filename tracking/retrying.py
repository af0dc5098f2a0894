"""When to try again, and after how long; tenacity does it.

tenacity is imported with the first request, for the sake of the time to import ``tracking``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from tracking import forking
from tracking.errors import NoServer, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState, Retrying

FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0


def is_temporary(status: int) -> bool:
    """Whether a server that answers so may answer better later."""
    return status in {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR
    )


def briefly(seconds: float) -> Retrying:
    """Repeat a request up to three times, while the caller waits for it."""
    with forking.imports:
        import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, Unreachable) and not isinstance(error, NoServer)
        ),
        stop=tenacity.stop_after_attempt(4) | tenacity.stop_before_delay(seconds),
        wait=_wait(0.1, 2.0),
        reraise=True,
    )


def until(stopped: Callable[[], bool], sleep: Callable[[float], None]) -> Retrying:
    """Repeat a request for as long as the client lives.

    Waits grow to half a minute and are random within their bound, so that the clients of a
    server that comes back do not all come at once; where it names a time, not before that.

    Args:
        stopped: Whether to give up.
        sleep: Waits so many seconds, or less when there is a reason to.
    """
    with forking.imports:
        import tenacity

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(Unreachable),
        stop=lambda _: stopped(),
        wait=_wait(FIRST_BACKOFF, LONGEST_BACKOFF),
        sleep=sleep,
        reraise=True,
    )


def _wait(first: float, longest: float) -> Callable[[RetryCallState], float]:
    with forking.imports:
        import tenacity

    backoff = tenacity.wait_random_exponential(multiplier=first, max=longest)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        told = error.retry_after if isinstance(error, Unreachable) else None
        return backoff(state) if told is None else told + min(backoff(state), 1.0)

    return wait
