"""The record of processing (GDPR article 30) is what the data map says.

Run as a program, this writes ``docs/record-of-processing.md`` anew.
"""

from __future__ import annotations

from schemas.data_map import STORES, TABLES, Erasure, Personal
from schemas.settings import CHECKOUT, Settings

PAGE = CHECKOUT / "docs" / "record-of-processing.md"
HEAD = """# Record of processing

Made from `schemas/data_map.py` by `python tests/unit/docs/test_record_of_processing.py`; a test
holds both together. What only the operator knows is marked **operator**.

* **Controller, representative, data protection officer**: **operator**.
* **Purposes**: `analytics` (events are collected and measured), `improvement` (they may train the
  model), `preferences` (a person's own history may shape their own features). Legal basis: consent,
  refused until granted, withdrawn by the same call.
* **Data subjects**: the people whom the platform proposes matches to.
* **Recipients**: those who hold an API key; `metrics` sees published figures only.
  **Operator**: who they are.
* **Third countries**: none by this software, which calls nobody. **Operator**: where it is hosted.
* **Security**: keyed pseudonyms with the key outside the database, free texts sealed and then
  redacted, hashed API keys, an append-only ledger; see [privacy](privacy.md).
"""


def kept(limit: str) -> str:
    """Say a limit with its default, where it is a setting."""
    field = Settings.model_fields.get(limit)
    return f"{field.default} days (`{limit}`)" if field else limit


def names(table: str, personal: Personal) -> str:
    """List the columns of a table that are personal in one way."""
    columns = TABLES[table].columns
    return ", ".join(f"`{name}`" for name, (kind, _) in columns.items() if kind is personal)


def erased(table: str) -> str:
    """Say what an erasure does to a table, and to the columns that it treats otherwise."""
    held = TABLES[table]
    by_effect: dict[Erasure, list[str]] = {}
    for name, effect in held.except_for.items():
        by_effect.setdefault(effect, []).append(f"`{name}`")
    return "; ".join(
        [str(held.erasure)] + [f"{effect}: {', '.join(c)}" for effect, c in by_effect.items()]
    )


def render() -> str:
    """Write the page as the data map wants it."""
    lines = [
        HEAD,
        "## Tables",
        "",
        "What an erasure does: *deleted* with the person's rows, *subtracted* from a sum,",
        "*unlinked* (the row stays and leads to nobody), *emptied*, or *stays* (about nobody).",
        "",
        "| table | purpose | leads to a person | says something | neither | kept | erasure |",
        "|---|---|---|---|---|---|---|",
    ]
    for table, held in TABLES.items():
        cells = [f"`{table}`", held.purpose, *(names(table, kind) for kind in Personal)]
        lines.append(f"| {' | '.join([*cells, kept(held.kept), erased(table)])} |")
    lines += [
        "",
        "## Beside the database",
        "",
        "| what | where | holds | personal | kept | erasure |",
        "|---|---|---|---|---|---|",
    ]
    for name, store in STORES.items():
        kept_for = " ".join(kept(word) for word in store.kept.split(" "))
        cells = [name, store.where, store.holds, store.personal, kept_for, store.erasure]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_the_record_is_made_from_the_data_map() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
