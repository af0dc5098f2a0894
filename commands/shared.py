"""What commands share: the settings, a database that is ready, the registry, plain results."""

from __future__ import annotations

from typing import Any

import click

EXIT_FAILED, EXIT_TRY_AGAIN = 1, 75

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")


class NumberRange(click.FloatRange):
    """A range that only numbers lie in: no bound refuses ``nan``."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a number; see ``click.ParamType.convert``."""
        number: float = super().convert(value, param, ctx)
        if number != number:  # noqa: PLR0124  # so only nan is
            self.fail("it is not a number", param, ctx)
        return number


def read_settings() -> Any:
    """Read the settings of this installation.

    Raises:
        InvalidInput: One breaks its rule; names the first, and not its value.
    """
    from pydantic import ValidationError  # costs more than --help may take

    from schemas.errors import InvalidInput
    from schemas.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"setting {field}", first["msg"]) from None


def ready_engine() -> Any:
    """Connect to the database, and refuse one that is not ready.

    A restored backup first forgets again whom the witness knows to be erased.
    """
    from warehouse.engine import check_ready, connect
    from warehouse.tombstones import catch_up

    settings = read_settings()
    engine = connect(settings.url)
    check_ready(engine)
    catch_up(engine, settings.keys)
    return engine


def open_registry() -> Any:
    """Open the registry of this installation."""
    from matching.registry import Registry

    settings = read_settings()
    settings.check_registry()
    return Registry(settings.tracking_uri, str(settings.artifacts), settings.model_name)


def pseudonyms_of(user_id: str, key_id: str | None = None) -> list[bytes]:
    """Return the pseudonyms of a person by every key there is, newest first, or by one of them."""
    from privacy.pseudonyms import subject_pseudonym
    from warehouse.keyfile import read_ring

    keys = read_ring(read_settings().keys).pseudonym_keys
    chosen = [key for key in reversed(keys) if key_id in (None, key.key_id)]
    return [subject_pseudonym(key.secret, user_id) for key in chosen]


def find_person(engine: Any, user_id: str) -> int:
    """Find the subject's number of a person whom the platform names.

    Raises:
        NoSuchPerson: They never answered the notice.
    """
    from warehouse.consents import find_subject

    return find_subject(engine, pseudonyms_of(user_id))


def find_people(engine: Any, user_id: str) -> list[int]:
    """Find the numbers of a person whom the platform names: two, where keys were apart for a while.

    Raises:
        NoSuchPerson: They never answered the notice.
        OverMatch: One of several may be somebody else's.
    """
    from warehouse.consents import NoSuchPerson
    from warehouse.engine import reading
    from warehouse.keyfile import read_ring
    from warehouse.persons import rows_of_one
    from warehouse.seals import Seals

    seals = Seals(read_ring(read_settings().keys))
    with reading(engine) as connection:
        rows = rows_of_one(connection, pseudonyms_of(user_id), seals)
    if not rows:
        raise NoSuchPerson("nobody of this id ever answered the notice")
    return [row.subject for row in rows]


def plain(value: Any) -> dict[str, Any]:
    """Return a frozen dataclass as a mapping."""
    from dataclasses import asdict

    return asdict(value)
