"""The house of the design: what may import what, and where each heavy library lives."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ALLOWED: dict[str, set[str]] = {
    "schemas": set(),
    "warehouse": {"schemas"},
    "privacy": {"schemas"},
    "matching": {"schemas"},
    "expectations": {"schemas"},
    "tasks": {"expectations", "warehouse", "privacy", "matching", "schemas"},
    "flows": {"tasks", "expectations", "warehouse", "privacy", "matching", "schemas"},
    "automations": {"schemas"},
    "deployments": {"automations", "console", "flows", "prefect_api", "schemas"},
    "prefect_api": set(),
    # Figures in, a page out: it knows nobody.
    "dashboard": set(),
    "ingest": {"dashboard", "prefect_api", "warehouse", "privacy", "schemas"},
    "ingest_api": {"ingest", "warehouse", "privacy", "schemas"},
    "tracking": {"schemas"},
    # The outermost ones: what a person starts.
    "background": {"flows", "warehouse", "schemas"},
    "commands": {
        "commands",
        "console",
        "dashboard",
        "installation",
        "automations",
        "deployments",
        "flows",
        "matching",
        "operation",
        "privacy",
        "warehouse",
        "schemas",
    },
    "operation": {"installation", "prefect_api", "warehouse", "schemas"},
    "console": {"schemas"},
    "installation": {"warehouse", "matching", "schemas"},
    "replay": {"matching", "tracking", "schemas"},
    "demo": {
        "console",
        "installation",
        "deployments",
        "flows",
        "matching",
        "replay",
        "tracking",
        "warehouse",
        "schemas",
    },
    "cli": {
        "background",
        "commands",
        "console",
        "demo",
        "deployments",
        "flows",
        "ingest_api",
        "installation",
        "matching",
        "privacy",
        "replay",
        "tracking",
        "warehouse",
        "schemas",
    },
}
"""Inner rooms that each room may import; every room may import itself."""

HOMES: dict[str, set[str]] = {
    "prefect": {"flows", "tasks", "deployments", "automations"},
    "prefect_dask": {"flows", "tasks"},
    "great_expectations": {"expectations"},
    "mlflow": {
        "matching/registry.py",
        "matching/signature.py",
        "matching/story.py",
        "matching/disposal.py",
        "matching/garbage.py",
        "operation/model_server.py",
    },
    "sqlalchemy": {"schemas/tables.py", "warehouse"},
    "fastapi": {"ingest_api", "ingest"},
    "spacy": {"privacy/recognisers.py"},
    "presidio_analyzer": {"privacy/recognisers.py"},
    "httpx": {"tracking"},
    "opendp": {"privacy/noise.py"},
    "jinja2": {"dashboard"},
    "honcho": {"operation"},
    "psutil": {"operation"},
    "alembic": {"warehouse/migrations"},
}
"""Places where a heavy library may be imported."""


def imports_of(source: str, *, at_run_time: bool = False) -> set[str]:
    """Return the first part of every module that a source imports, wherever in it.

    Args:
        source: The text of a module.
        at_run_time: Leave out what is imported for the type checker only.
    """
    tree = ast.parse(source)
    if at_run_time:
        tree = _WithoutTypeChecking().visit(tree)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


class _WithoutTypeChecking(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | None:  # the visitor's name
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)


def violations(path: str, source: str) -> list[str]:
    """Name what a file of the project imports and may not."""
    room = Path(path).parts[0].removesuffix(".py")
    found = []
    needed = imports_of(source, at_run_time=True)
    for name in sorted(imports_of(source)):
        if name in ALLOWED and room in ALLOWED and name not in {*ALLOWED[room], room}:
            found.append(f"{path} imports {name}: that arrow turns back")
        homes = HOMES.get(name) if name in needed else None
        rooms = {room, path, *map(str, Path(path).parents)}
        if homes is not None and room in ALLOWED and not homes & rooms:
            found.append(f"{path} imports {name}: its home is {', '.join(sorted(homes))}")
    return found


def project_files() -> list[Path]:
    """List every source file of the rooms."""
    single = [ROOT / f"{room}.py" for room in ALLOWED if (ROOT / f"{room}.py").exists()]
    return single + [
        path
        for room in ALLOWED
        if (ROOT / room).is_dir()
        for path in sorted((ROOT / room).rglob("*.py"))
    ]


def test_every_import_points_inwards_and_heavy_libraries_stay_at_home() -> None:
    found = [
        violation
        for path in project_files()
        for violation in violations(str(path.relative_to(ROOT)), path.read_text())
    ]

    assert found == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("warehouse/planted.py", "from flows.process_events import process_events"),
        ("tracking/planted.py", "def late():\n    import warehouse.engine"),
        ("schemas/planted.py", "import privacy"),
        ("ingest_api.py", "from matching import registry"),
        ("flows/planted.py", "import mlflow.pyfunc"),
        ("matching/planted.py", "from sqlalchemy import text"),
        ("warehouse/planted.py", "import opendp.prelude as dp"),
        ("dashboard/planted.py", "from warehouse.metrics import acceptance"),
        ("ingest/planted.py", "import jinja2"),
    ],
)
def test_a_planted_import_is_found(path: str, source: str) -> None:
    assert len(violations(path, source)) == 1


def test_every_room_is_read() -> None:
    rooms = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in project_files()}

    assert rooms >= {"schemas", "warehouse", "privacy", "flows", "tasks", "expectations"}


SLOW = ("great_expectations", "mlflow", "matplotlib", "spacy", "presidio_analyzer", "sklearn")
"""Libraries that take seconds to load, and that only a running step needs."""


def loaded_by(module: str, seen: set[str] | None = None) -> set[str]:
    """Return every module that importing one loads at once: ours, and what they import."""
    seen = set() if seen is None else seen
    if module in seen:
        return seen
    seen.add(module)
    path = ROOT / module.replace(".", "/")
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.exists():
            for name in _at_once(file.read_text(encoding="utf-8")):
                for part in (name, name.rpartition(".")[0], name.partition(".")[0]):
                    loaded_by(part, seen)
    return seen


def _at_once(source: str) -> set[str]:
    """Return the names that a source imports before anything of it is called."""
    found: set[str] = set()
    for node in _WithoutTypeChecking().visit(ast.parse(source)).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("flow", sorted(path.stem for path in (ROOT / "flows").glob("[a-z]*.py")))
def test_whoever_registers_a_flow_does_not_wait_for_what_its_steps_need(flow: str) -> None:
    loaded = loaded_by(f"flows.{flow}")

    assert "prefect" in loaded
    assert "schemas.settings" in loaded
    assert sorted(loaded.intersection(SLOW)) == []


def test_what_a_step_loads_is_seen() -> None:
    assert "great_expectations" in loaded_by("tasks.partition")
    assert "mlflow" in loaded_by("matching.disposal")
