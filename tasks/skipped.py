"""What a person sees of a run that found another one at work."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact


def tell() -> None:
    """Leave an artifact that says why a run did nothing."""
    create_markdown_artifact(
        key="skipped",
        description="Why this run did nothing",
        markdown="Another run was at work, and this one left the work to it.",
    )
