"""What the Prefect server does by itself when something happens, or stops happening."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from prefect.automations import Automation, EventTrigger, Posture
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.events import ResourceSpecification

from schemas.environment import HEARTBEAT_SECONDS
from schemas.run_events import DECISIONS_COLLECTED, DRIFTED

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.events.actions import ActionTypes

SILENT_HEARTBEATS = 3
"""Heartbeats that a run may miss before it counts as dead."""
_ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended")


def automations(retrain: UUID) -> list[Automation]:
    """Return the automations of an installation.

    Args:
        retrain: Deployment that retrains the model.
    """
    return [
        Automation(
            name="SmartMatch: mark dead runs as crashed",
            description="A run whose process was killed would stay Running for ever. One that has "
            "ended is left as it is: for a run of less than a second the action may fail, rightly.",
            trigger=_dead_run(),
            actions=[
                ChangeFlowRunState(
                    name=None,
                    force=False,
                    state=StateType.CRASHED,
                    message="No sign of life: its process is gone. The next run does its work.",
                )
            ],
        ),
        Automation(
            name="SmartMatch: retrain on drift",
            description="The days since training lie beyond the bounds of the champion.",
            trigger=_told(DRIFTED),
            actions=[_run(retrain)],
        ),
        Automation(
            name="SmartMatch: retrain on enough new decisions",
            description="As many as SMARTMATCH_RETRAIN_AFTER_DECISIONS have come.",
            trigger=_told(DECISIONS_COLLECTED),
            actions=[_run(retrain)],
        ),
    ]


def register(retrain: UUID) -> list[str]:
    """Create the automations, or bring those that exist up to date; return their names."""
    wanted = automations(retrain)
    for automation in wanted:
        try:
            known: Automation = Automation.read(name=automation.name)  # type: ignore[assignment]
        except ValueError:
            automation.create()
        else:
            automation.id = known.id
            # Whoever has switched it off meant it.
            automation.enabled = known.enabled
            # An update makes the server forget which runs it waits for a sign of life from.
            if automation.model_dump() != known.model_dump():
                automation.update()
    return [automation.name for automation in wanted]


def _dead_run() -> EventTrigger:
    """Fire when a run that has sent a heartbeat neither sends another one nor ends.

    The server may learn of the end of a very short run before it has noted its heartbeat, and
    then fires for nothing: the run's state is not forced, so what has ended stays ended.
    """
    return EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={
            "prefect.flow-run.heartbeat",
            *(f"prefect.flow-run.{state}" for state in _ENDED),
        },
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENT_HEARTBEATS * HEARTBEAT_SECONDS),
    )


def _told(event: str) -> EventTrigger:
    return EventTrigger(expect={event}, posture=Posture.Reactive, threshold=1)


def _run(deployment: UUID) -> ActionTypes:
    return RunDeployment(
        source="selected", deployment_id=deployment, parameters={}, job_variables={}
    )
