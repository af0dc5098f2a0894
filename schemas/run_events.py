"""Events that flows send to the Prefect server, so that its automations can act on them."""

from __future__ import annotations

DRIFTED = "smartmatch.model.drifted"
"""The days since training lie beyond the bounds of the champion."""
DECISIONS_COLLECTED = "smartmatch.decisions.collected"
"""Enough new decisions are there to learn from."""
RESOURCE = {"prefect.resource.id": "smartmatch.model", "prefect.resource.name": "SmartMatch model"}
"""What the events are about."""
