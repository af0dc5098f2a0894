"""Files with personal data in them that an operator gives to commands, right and wrong."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from benchmarks.canary_kinds import CALLER, VALUES, mark

if TYPE_CHECKING:
    from pathlib import Path

_RATINGS = ("attr", "sinc", "intel", "fun", "amb", "shar")


def commands(directory: Path, campaign_token: str) -> list[tuple[str, ...]]:
    """Write the files, and return the commands that read them or name a person.

    Args:
        directory: Outside of what is searched.
        campaign_token: Part of every identifier.
    """
    cell, column = mark(campaign_token, "file"), mark(campaign_token, "column")
    user = f"{campaign_token}-user-1"
    evenings = _evenings(cell)
    wrong = [{**evenings[0], "dec": VALUES["person"]}, *evenings[1:]]
    policy = _policy(user, cell)
    files = {
        "decisions": evenings,
        "wrong": wrong,
        "alone": [{**evenings[0], "pid": CALLER + "1"}],
        "estimate": policy,
        "estimate-wrong": [{**row, f"constraint:{column}": VALUES["iban"]} for row in policy],
        "estimate-reward": [{**row, "reward": VALUES["person"]} for row in policy],
    }
    path = {name: str(directory / f"{name} {VALUES['person']}.csv") for name in files}
    for name, rows in files.items():
        with (directory / f"{name} {VALUES['person']}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    readers = [
        (command, path[name])
        for command in ("replay", "backtest")
        for name in ("decisions", "wrong", "alone")
    ]
    estimates = [
        ("ope", path[name], *more)
        for name in ("estimate", "estimate-wrong", "estimate-reward")
        for more in ((), ("--policy", "matcher"))
    ]
    match = f"{campaign_token}/match é/0"
    return [
        *readers,
        *estimates,
        ("explain", "--match", match),
        ("explain", "--match", match, "--user-id", f"{campaign_token}-nobody"),
        ("consent", "show", "--user-id", user),
        ("lineage", "--user-id", user),
        ("lineage", "--version", mark(campaign_token, "run")),
        ("search", "--user-id", user),
        ("purge", "--as-of", mark(campaign_token, "run")),
        ("release", "--month", mark(campaign_token, "run")),
        ("run", "erase_subject", "--run", mark(campaign_token, "run")),
        ("keys", "revoke", mark(campaign_token, "run")),
    ]


def _evenings(cell: str) -> list[dict[str, str]]:
    """Return three evenings of two and two, in which a phone number names a person."""
    sides = [[CALLER, "8101"], ["8202", "8203"]]
    return [
        {
            "wave": str(wave),
            "iid": own,
            "pid": other,
            "gender": str(side),
            "round": "2",
            "order": "1",
            "dec": str(wave % 2),
            "like": "7",
            **dict.fromkeys(_RATINGS, "6"),
            "comment": f"{cell} {VALUES['person']} {VALUES['e-mail']}",
        }
        for wave in (1, 2, 3)
        for side in (0, 1)
        for own in sides[side]
        for other in sides[1 - side]
    ]


def _policy(user: str, cell: str) -> list[dict[str, str]]:
    """Return a log of off-policy evaluation whose texts name people."""
    return [
        {
            "group": f"{cell} {VALUES['address']}",
            "match_id": f"{user}/{pair}",
            "user_id": f"{user} {VALUES['e-mail']} {side}",
            "side": str(side),
            "match_score": "0.5",
            "propensity": "0.5",
            "target_propensity": "0.5",
            "reward": str(pair % 2),
        }
        for pair in range(20)
        for side in (0, 1)
    ]
