"""Write the next revision: ``python -m warehouse.migrations "Say what changes"``.

It holds the difference between the newest revision and ``schemas/tables.py``, to be read and
completed by hand: triggers, and rows that have to be carried along, are not in it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from warehouse.engine import connect, writing
from warehouse.migrations import configuration, upgrade


def main(message: str) -> None:
    """Compare an empty database at the newest revision with the tables of the code."""
    newest = ScriptDirectory.from_config(configuration()).get_current_head()
    following = f"{int(newest or 0) + 1:04}"
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(SecretStr(f"sqlite:///{Path(folder) / 'scratch.db'}"))
        if newest:
            upgrade(engine)
        with writing(engine) as connection:
            command.revision(
                configuration(connection), message, autogenerate=True, rev_id=following
            )
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1])
