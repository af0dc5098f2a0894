"""A lease keeps two runs of a flow apart, and its fence a run that was stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, update

from schemas.errors import LeaseLost, NotReady
from schemas.settings import CHECKOUT
from schemas.tables import leases
from warehouse import leases as leases_module
from warehouse.engine import reading, writing
from warehouse.leases import Lease, LeaseHeld, last_finished, lease

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import Engine


def test_second_run_is_refused_while_the_first_is_at_work(engine: Engine) -> None:
    with lease(engine, "flow", 60), pytest.raises(LeaseHeld), lease(engine, "flow", 60):
        pass


def test_leases_of_two_flows_do_not_meet(engine: Engine) -> None:
    with lease(engine, "one", 60) as first, lease(engine, "other", 60) as second:
        assert (first.fence, second.fence) == (1, 1)


def test_fence_grows_with_every_run_and_is_given_back_on_errors(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError), lease(engine, "flow", 60) as first:
        _ = 1 // 0
    with lease(engine, "flow", 60) as second:
        assert second.fence == first.fence + 1


def test_what_ended_a_run_is_told_also_where_the_lease_cannot_be_given_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*_arguments: object, **_more: object) -> None:
        raise NotReady("the database did not answer")

    monkeypatch.setattr(leases_module, "_give_back", unanswered)
    with pytest.raises(ZeroDivisionError), lease(engine, "flow", 60):
        _ = 1 // 0
    with pytest.raises(NotReady), lease(engine, "other", 60):
        pass


def test_flow_is_noted_as_finished_only_when_it_ended_well(engine: Engine) -> None:
    def finished() -> dict[str, int]:
        with reading(engine) as connection:
            return last_finished(connection)

    with pytest.raises(ZeroDivisionError), lease(engine, "flow", 60):
        _ = 1 // 0
    assert finished() == {}
    before = time.time_ns() // 1_000
    with lease(engine, "flow", 60):
        assert finished() == {}

    assert list(finished()) == ["flow"]
    assert before <= finished()["flow"] <= time.time_ns() // 1_000
    with pytest.raises(ZeroDivisionError), lease(engine, "flow", 60):
        _ = 1 // 0
    assert list(finished()) == ["flow"]


def test_waiting_run_goes_on_when_the_first_ends(engine: Engine) -> None:
    begun = threading.Event()

    def hold() -> None:
        with lease(engine, "flow", 60):
            begun.set()
            time.sleep(0.3)

    holder = threading.Thread(target=hold)
    holder.start()
    assert begun.wait(60)
    with lease(engine, "flow", 60, wait_seconds=60) as held:
        assert held.fence == 2
    holder.join()


def test_zombie_is_fenced_off_and_the_owner_is_not(engine: Engine) -> None:
    with lease(engine, "flow", 0.05) as zombie:
        time.sleep(0.1)
        with lease(engine, "flow", 60) as owner:
            with writing(engine) as connection:
                owner.check(connection)
                with pytest.raises(LeaseLost):
                    zombie.check(connection)
            with pytest.raises(LeaseLost):
                zombie.renew(engine)
            owner.renew(engine)


def test_zombie_does_not_give_back_what_another_holds(engine: Engine) -> None:
    with lease(engine, "flow", 0.05):
        time.sleep(0.1)
        owner = lease(engine, "flow", 60)
        owner.__enter__()
    with pytest.raises(LeaseHeld), lease(engine, "flow", 60):
        pass
    owner.__exit__(None, None, None)


def test_renewing_keeps_the_lease(engine: Engine) -> None:
    def ends() -> int:
        with reading(engine) as connection:
            return int(connection.execute(select(leases.c.expires_at)).scalar_one())

    with lease(engine, "flow", 60) as held:
        before = ends()
        time.sleep(0.01)
        held.renew(engine)
        assert ends() > before
        with pytest.raises(LeaseHeld), lease(engine, "flow", 60):
            pass


def test_lease_nobody_ever_took_is_nobodys(engine: Engine) -> None:
    with writing(engine) as connection, pytest.raises(LeaseLost):
        Lease("flow", 1, 60).check(connection)


def test_run_that_was_killed_need_not_be_waited_for(engine: Engine) -> None:
    with lease(engine, "flow", 60):
        with reading(engine) as connection:
            holder = connection.execute(select(leases.c.holder)).scalar_one()
        dead = subprocess.run(
            [sys.executable, "-c", "import os; print(os.getpid())"],
            capture_output=True,
            text=True,
            check=True,
        )
        host, _, started = holder.split(":")
        _set_holder(engine, f"{host}:{dead.stdout.strip()}:{started}")
        with lease(engine, "flow", 60) as held:
            assert held.fence == 2


def test_process_number_that_was_given_out_again_is_not_the_holder(engine: Engine) -> None:
    with lease(engine, "flow", 60):
        with reading(engine) as connection:
            host, pid, started = connection.execute(select(leases.c.holder)).scalar_one().split(":")
        if not started:
            pytest.skip("this machine does not tell when a process started")
        _set_holder(engine, f"{host}:{pid}:{int(started) - 1}")
        with lease(engine, "flow", 60) as held:
            assert held.fence == 2


def test_holder_on_another_machine_is_waited_for(engine: Engine) -> None:
    with lease(engine, "flow", 60):
        _set_holder(engine, "elsewhere:1:1")
        with pytest.raises(LeaseHeld), lease(engine, "flow", 60):
            pass


def test_clock_that_stood_years_ahead_leaves_no_endless_lease(engine: Engine) -> None:
    with lease(engine, "flow", 60):
        with writing(engine) as connection:
            connection.execute(update(leases).values(expires_at=2**62))
        with lease(engine, "flow", 60) as held:
            assert held.fence == 2


def _set_holder(engine: Engine, holder: str) -> None:
    with writing(engine) as connection:
        connection.execute(update(leases).values(holder=holder))


def test_a_flow_does_not_begin_on_another_schema(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")

    with pytest.raises(NotReady, match="smartmatch db upgrade"), lease(engine, "flow", 60):
        pass


def test_a_lease_that_was_given_back_is_free_whoever_still_commits(engine: Engine) -> None:
    """A worker of Dask goes on with its partition when its flow has failed on another one."""
    with lease(engine, "flow", 60) as failed:
        pass
    with writing(engine) as connection:
        failed.check(connection)
        failed.extend(connection)

    with lease(engine, "flow", 60) as following:
        assert following.fence == failed.fence + 1


def test_run_in_another_container_of_the_same_host_name_is_waited_for(
    engine: Engine, database_url: SecretStr
) -> None:
    """Its processes have numbers of their own, so that the holder's is nobody's there."""
    apart = ["unshare", "--pid", "--fork", "--mount-proc"]
    if os.geteuid() or subprocess.run([*apart, "true"], check=False).returncode:
        pytest.skip("processes with numbers of their own can be had by root only")
    take = (
        "import sys; from pydantic import SecretStr; from warehouse.engine import connect\n"
        "from warehouse.leases import LeaseHeld, lease\n"
        "try:\n"
        "    with lease(connect(SecretStr(sys.argv[1])), 'flow', 60): print('taken')\n"
        "except LeaseHeld: print('held')\n"
    )
    with lease(engine, "flow", 60):
        done = subprocess.run(
            [*apart, sys.executable, "-c", take, database_url.get_secret_value()],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == "held\n"
