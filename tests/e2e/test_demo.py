"""The main job, small, twice, and what a platform finds that sets itself up afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy import func, select

from matching.registry import Registry
from schemas.tables import leases, tallies
from warehouse.engine import connect, reading

if TYPE_CHECKING:
    from tests.e2e.conftest import Home


def test_demo_runs_twice_in_the_homes_registry_and_leaves_it_to_the_platform(home: Home) -> None:
    for _ in range(2):
        shown = home.smartmatch("demo", "--turns", "2")

        assert shown.returncode == 0, shown.stderr
        assert "Metrics agree to the unit" in shown.stderr
        assert "round 2" in shown.stdout
        assert (home.path / "mlruns" / ".demo").exists()
        registry = Registry(
            f"sqlite:///{home.path / 'mlruns' / 'mlflow.db'}",
            str(home.path / "mlruns" / "artifacts"),
        )
        assert [version.version for version in registry.versions()] == ["3", "2", "1"]
        found = connect(SecretStr(f"sqlite:///{home.path / 'data' / 'demo' / 'smartmatch.db'}"))
        with reading(found) as connection:
            ran = set(connection.scalars(select(leases.c.name)))
            assert connection.scalar(select(func.count()).select_from(tallies))
        assert {"aggregate_metrics", "watch_drift"} <= ran

    begun = home.smartmatch("init")

    assert begun.returncode == 0, begun.stderr
    assert "champion is version 1" in begun.stderr
    assert not (home.path / "mlruns" / ".demo").exists()
