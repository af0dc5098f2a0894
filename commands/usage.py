"""What a mistyped command is told: the parameter and the rule, never what was typed.

What stands in the wrong place may be somebody's id or a text of theirs, and terminals are
recorded: a job's log keeps what its commands say.
"""

from __future__ import annotations

import errno
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands.shared import EXIT_FAILED, EXIT_TRY_AGAIN
from console import say

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_SERVER = "ephemeral Prefect API server"
"""Prefect's words for it, in an error that has no class of its own."""
_NUMBER = re.compile(r"^\S+ (?=is not in the range)")
_EXTRA = re.compile(r"(unexpected extra arguments?) .*", re.DOTALL)


class Guarded(click.Group):
    """Turn every error of ours into one line and an exit code, and keep values out of click's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember what was typed; see ``click.Group.parse_args``."""
        ctx.meta["typed"] = [part for one in args for part in (one, one.partition("=")[2]) if part]
        with _values_kept_out([]):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see ``click.Group.invoke``."""
        from schemas.errors import NotReady, SmartMatchError
        from warehouse.leases import LeaseHeld

        try:
            with _values_kept_out(ctx.meta["typed"]):
                return super().invoke(ctx)
        except SmartMatchError as error:
            say(f"smartmatch: {error}")
            again = isinstance(error, NotReady | LeaseHeld)
            sys.exit(EXIT_TRY_AGAIN if again else EXIT_FAILED)
        except OSError as error:
            if error.errno in {None, errno.EPIPE}:
                raise
            say(f"smartmatch: {_refused(error, ctx.meta['typed'])}")
            sys.exit(EXIT_TRY_AGAIN)
        except RuntimeError as error:
            if _NO_SERVER not in str(error):
                raise
            say("smartmatch: Prefect's server did not start; what it says is above")
            sys.exit(EXIT_TRY_AGAIN)


def _refused(error: OSError, typed: list[str]) -> str:
    """Say what the disk or the system refused, and of which file, unless that was typed."""
    name = Path(str(error.filename or "")).name
    told = bool(name) and not any(name in one for one in typed)
    return f"{error.strerror} ({name})" if told else str(error.strerror)


@contextmanager
def _values_kept_out(typed: list[str]) -> Iterator[None]:
    try:
        yield
    except (click.BadOptionUsage, click.MissingParameter):
        raise  # names what there is, and no value
    except click.BadParameter as error:
        told = _without(typed, error.message)
        raise click.BadParameter(told, error.ctx, error.param, error.param_hint) from None
    except click.UsageError as error:
        named = getattr(error, "option_name", "")
        raise click.UsageError(
            _without([*typed, named], error.format_message()), error.ctx
        ) from None


def _without(typed: list[str], message: str) -> str:
    """Take what was typed out of an error of click's, which quotes it as ``repr`` does."""
    message = _EXTRA.sub(r"\1.", _NUMBER.sub("it ", message))
    for value in sorted(typed, key=len, reverse=True):
        quoted = repr(value)
        if message.startswith(f"{quoted} "):
            message = f"it{message[len(quoted) :]}"
        message = message.replace(f" {quoted}", "")
    return message
