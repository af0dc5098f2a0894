"""Keep what goes wrong in the client from the host application."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from schemas.errors import SmartMatchError
from tracking.logs import logger_of

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_SECONDS = 60.0

_Result = TypeVar("_Result")

_logger = logger_of(__name__)


class Guard:
    """Answers something harmless where a call fails, and logs one line a minute of each kind.

    It holds for every ``Exception``, those of nobody's foreseeing included; what ends a
    program (``KeyboardInterrupt`` and its like) passes.

    Args:
        strict: Let ``run`` raise what it logs.
    """

    def __init__(self, *, strict: bool) -> None:
        self._strict = strict
        self._logged: dict[tuple[str, type[Exception]], float] = {}

    def run(
        self, call: Callable[..., _Result], *arguments: Any, failed: str, otherwise: _Result
    ) -> _Result:
        """Call; when that fails, raise if strict.

        Args:
            call: What may fail.
            arguments: Of the call.
            failed: Sentence for the log, without its full stop.
            otherwise: The answer when it failed.
        """
        try:
            return call(*arguments)
        except Exception as error:
            self._log(failed, error)
            if self._strict:
                raise
            return otherwise

    def quiet(
        self, call: Callable[..., _Result], *arguments: Any, failed: str, otherwise: _Result
    ) -> _Result:
        """Call, and never raise."""
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001 - the host outlives every defect of ours
            self._log(failed, error)
            return otherwise

    def _log(self, failed: str, error: Exception) -> None:
        """Write what happened; a foreign error's own text may hold a value."""
        kind, now = (failed, type(error)), time.monotonic()
        if now - self._logged.get(kind, -LOG_SECONDS) < LOG_SECONDS:
            return
        self._logged[kind] = now
        known = isinstance(error, SmartMatchError)
        with suppress(Exception):  # a logger of the host's
            _logger.warning("%s: %s", failed, error if known else type(error).__name__)
