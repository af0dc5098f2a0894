"""Run the demo from its input to its last line."""

from __future__ import annotations

import json
import os
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from console import ending_in_order, say, steps, working
from demo.home import prepare_home
from demo.servers import free_port, ingest_server
from schemas.environment import prepare
from schemas.errors import SumsDiffer

if TYPE_CHECKING:
    from demo.loop import Turn
    from matching.rounds import Round
    from schemas.settings import Settings

SIMULATED_TURNS = 8


def run_demo(settings: Settings, *, data: str | None, turns: int | None, seed: int) -> None:
    """Run the loop, and show what it came to.

    Args:
        settings: Say where the demo's home lies.
        data: CSV of real decisions, ``openml``, or None for the simulated market.
        turns: Number of turns; all evenings, or eight simulated ones, when None.
        seed: Of the simulated market.

    Raises:
        InvalidInput: The CSV breaks a rule.
        SumsDiffer: The metrics of the API are not what was sent.
    """
    held, consents, source = _read_input(data, turns, seed)
    say(f"Input: {source}; {len(held)} turns of the loop.")
    demo = prepare_home(settings)
    prepare()
    # Prefect reads where its server is when it is first imported: only now.
    from deployments import prefect_server

    with ending_in_order(), ExitStack() as running:
        with working("starting a Prefect server"):
            server = prefect_server(f"http://127.0.0.1:{free_port()}/api")
            os.environ["PREFECT_API_URL"] = running.enter_context(server)
        _run(demo, held, consents)


def _run(demo: Settings, held: list[Round], consents: dict[str, dict[str, bool]]) -> None:
    from demo import report
    from demo.loop import Loop
    from installation import set_up_model
    from matching.weights import weights

    with working("registering the first champion"):
        version = set_up_model(demo)
    say(f"Version {version} of the model is champion: the matcher's own weights.")
    with ingest_server(demo.data / "server.log") as url:
        say(f"The API answers at {url}.")
        loop = Loop(demo, url, datetime.now(UTC).date(), consents)
        with steps("turn") as progress:
            turns = loop.run(held, progress)
        _check_metrics(url, turns)
    with working("sealing metrics and watching for drift, as every night"):
        loop.close_day()
    report.show_turns(turns)
    champion, version = loop.registry.champion()
    report.show_weights(weights(champion), version)
    say(f"After the last turn: {turns[-1].sentence}")
    picture = demo.data / "demo.png"
    report.draw(turns, weights(champion), picture)
    report.show_next(demo, picture)


def _read_input(
    data: str | None, turns: int | None, seed: int
) -> tuple[list[Round], dict[str, dict[str, bool]], str]:
    from matching import market
    from matching.openml import fetch_openml_rounds
    from matching.rounds import read_decisions

    if data == "openml":
        return fetch_openml_rounds()[:turns], {}, "the SpeedDating data of OpenML"
    if data is not None:
        return read_decisions(Path(data))[:turns], {}, f"real decisions, {Path(data).name}"
    opened = market.open_market(seed=seed)
    consents = opened.people.set_index("user_id")[["analytics", "improvement", "preferences"]]
    answers = {
        str(person): {str(purpose): bool(answer) for purpose, answer in row.items()}
        for person, row in consents.to_dict("index").items()
    }
    held = list(market.rounds(opened, turns or SIMULATED_TURNS))
    return held, answers, f"a simulated market, seed {seed} (real decisions: --data FILE)"


def _check_metrics(url: str, turns: list[Turn]) -> None:
    """Compare what the API says with what was sent."""
    days = len(turns) + 1
    address = f"{url}/api/metrics/acceptance?days={days}"
    with urllib.request.urlopen(address, timeout=10) as reply:  # noqa: S310  # loopback
        answer = json.load(reply)
    sent = [sum(getattr(t, name) for t in turns) for name in ("proposed", "decided", "accepted")]
    counted = [answer["total_proposed"], answer["total_decided"], answer["total_accepted"]]
    if counted != sent:
        raise SumsDiffer(f"the API counts {counted}, but {sent} were sent")
    say(f"Metrics agree to the unit: {sent[0]} proposed, {sent[1]} decided, {sent[2]} accepted.")
