"""A headless Chromium that reports every request and every complaint."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from selenium import webdriver

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Of itself it asks its makers for updates and hints: no name but this machine is found.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--force-device-scale-factor=1",
)


class Browser:
    """One session, for all tests of a module."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def resize(self, width: int, height: int = 900) -> None:
        """Take the size of a screen, exactly."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def accept(self, languages: str) -> None:
        """Ask for pages in these languages."""
        self.driver.execute_cdp_cmd(
            "Network.setExtraHTTPHeaders", {"headers": {"Accept-Language": languages}}
        )

    def open(self, address: str) -> None:
        """Go to an address; what was reported before is forgotten."""
        self.reports()
        self.driver.get(address)

    def run(self, script: str, *given: Any) -> Any:
        """Run a script in the page and return its result."""
        return self.driver.execute_script(script, *given)

    def reports(self) -> tuple[list[str], list[str]]:
        """Return the addresses asked for and the complaints since the last call."""
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                asked.append(message["params"]["request"]["url"])
        return asked, [entry["message"] for entry in self.driver.get_log("browser")]

    def overflow(self) -> int:
        """Return how much wider the page is than what shows of it, pixels."""
        wider: int = self.run(
            "const root = document.documentElement; return root.scrollWidth - root.clientWidth"
        )
        return wider

    def table(self, panel: str) -> list[list[str]]:
        """Read the cells of a panel's table, shown or not."""
        found: list[list[str]] = self.run(
            "return [...document.querySelectorAll(arguments[0] + ' tbody tr')].map("
            "row => [...row.cells].map(cell => cell.textContent))",
            f"#panel-{panel}",
        )
        return found


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """Run a Chromium with a profile of its own; skip where the machine has none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium: install Debian's chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield Browser(started)
    finally:
        started.quit()
