"""The client's lines in the host's log.

At the end of a process the host may have closed its log before the last events leave. To write
there all the same would put a traceback about each line onto stderr.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def logger_of(name: str) -> logging.Logger:
    """Return the logger of a module, which passes over streams that are closed."""
    logger = logging.getLogger(name)
    logger.addFilter(pass_over_closed)
    return logger


def pass_over_closed(record: logging.LogRecord) -> bool:
    """Hand a record to the handlers that can write it, where some cannot; a filter."""
    handlers = list(_handlers(record.name))
    able = [handler for handler in handlers if not _is_closed(handler)]
    if len(able) == len(handlers):
        return True
    for handler in able:
        if record.levelno >= handler.level:
            handler.handle(record)
    return False


def _handlers(name: str) -> Iterator[logging.Handler]:
    logger: logging.Logger | None = logging.getLogger(name)
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _is_closed(handler: logging.Handler) -> bool:
    return bool(getattr(getattr(handler, "stream", None), "closed", False))
