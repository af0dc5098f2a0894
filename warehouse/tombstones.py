"""Let the witness know of everybody who is erased or withdraws, and a restored backup follow it.

The mark is written before the database changes: a process that is killed between the two leaves a
mark that has not been carried out, which whoever opens the database next carries out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from schemas.clock import micros
from schemas.errors import NotReady
from warehouse import consents, marks
from warehouse.consents import Head, LedgerBroken
from warehouse.engine import reading
from warehouse.keyfile import has_ring, read_ring
from warehouse.newest_head import FILE_NAME, NewestHead
from warehouse.seals import Seals
from warehouse.witness import HEAD, RESTORED, WITHDRAWAL, Witness, WitnessBroken

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from schemas.consents import Options
    from warehouse.consents import Person, State
    from warehouse.witness import Testimony

_PURPOSES = ("analytics", "preferences", "improvement")


def record(
    connection: Connection,
    directory: Path,
    person: Person,
    entry: consents.Entry,
    seals: Seals | None = None,
) -> State:
    """Record an answer to the notice; one that withdraws something is witnessed before its commit.

    Args:
        connection: The transaction.
        directory: Where the keys lie.
        person: Who answered.
        entry: What they answered.
        seals: Of these keys, where they have been read already.

    Raises:
        ConsentRequired: The person is being erased.
    """

    def testify(known: State, pseudonym: bytes) -> None:
        if not _narrows(known.options, entry.options):
            return
        witness = Witness(directory)
        body = {
            "subject": witness.of_subject(known.subject),
            "pseudonym": witness.of_pseudonym(pseudonym),
            "options": msgspec.structs.asdict(entry.options),
        }
        marked = witness.append(WITHDRAWAL, body, entry.recorded_at).marks
        marks.follow(connection, marks.passable(connection, witness, marked))

    # Not looked up beforehand: at another server the person may be giving what this withdraws.
    seals = seals or Seals(read_ring(directory))
    return consents.record(connection, person, entry, testify, seals)


def catch_up(engine: Engine, directory: Path) -> int:
    """Carry out in this database what the witness knows and it does not: after a restore.

    Where there are no keys, as on a machine that only analyses, nothing can be carried out:
    only a backup that says that it is one is refused there.

    Args:
        engine: The database.
        directory: Where the keys lie.

    Returns:
        How many people were erased or their withdrawals repeated.

    Raises:
        NotReady: This is a backup, and there are no keys here to carry anything out.
        WitnessBroken: The witness is shorter than what this database has followed already.
        LeaseHeld: Another erasure was still at work after a minute.
    """
    with reading(engine) as connection:
        followed, backup = marks.followed(connection), marks.is_backup(connection)
    if not has_ring(directory):
        if backup:
            raise NotReady("this database is a backup; start the server or `smartmatch restore`")
        return 0
    witness = Witness(directory)
    last = witness.last()
    known = last.marks if last else 0
    if known < followed:
        raise WitnessBroken(f"the witness holds {known} marks, the database follows {followed}")
    if known == followed and not backup:
        return 0
    from warehouse.replaying import replay  # pandas: only where there is something to do

    return replay(engine, witness)


def testify_restored(engine: Engine, directory: Path, head: Head | None, carried: int) -> None:
    """Say that the ledger goes on from an earlier head, so that its cut tail is a known one.

    For whoever says that they put a backup back: nobody else may, or a cut would look like one.
    """
    body = {
        "carried_out": carried,
        "seq": head.seq if head else 0,
        "hash": head.entry_hash.hex() if head else "",
    }
    Witness(directory).append(RESTORED, body, micros(datetime.now(UTC)))
    NewestHead(directory).own_up(engine, head)


def note_head(engine: Engine, directory: Path, now: datetime) -> Head | None:
    """Let the witness know the newest entry of the consent ledger.

    Raises:
        LedgerBroken: The ledger does not hold what was noted last.
    """
    head = consents.head(engine)
    if head is not None:
        if not NewestHead(directory).note(engine):
            raise LedgerBroken("the newest entry that was noted is not in the ledger")
        body = {"seq": head.seq, "hash": head.entry_hash.hex(), "newest": FILE_NAME}
        Witness(directory).append(HEAD, body, micros(now))
    return head


def noted_heads(directory: Path, testimonies: Iterable[Testimony]) -> list[Head]:
    """Return the heads that the ledger still has to hold, the witness itself being whole.

    A restored backup is shorter than what was noted before; from there on it is held to the
    head that it had when somebody said that it was put back.

    Raises:
        WitnessBroken: The newest head is not what was written, or is gone.
    """
    kept: list[Head] = []
    beside = False
    for entry in testimonies:
        if entry.kind in (HEAD, RESTORED):
            seq = entry.body["seq"]
            if entry.kind == RESTORED:
                kept = [head for head in kept if head.seq <= seq]
            kept += [Head(seq, bytes.fromhex(entry.body["hash"]))] if seq else []
            beside |= "newest" in entry.body
    newest = NewestHead(directory).read()
    if kept and beside and (newest is None or newest.seq < kept[-1].seq):
        raise WitnessBroken("the newest head of the ledger was set back")
    return kept if newest is None or newest in kept else [*kept, newest]


def _narrows(before: Options, after: Options) -> bool:
    return any(getattr(before, name) and not getattr(after, name) for name in _PURPOSES)
