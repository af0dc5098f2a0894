"""Run a command where there is no network but loopback, and note whom it tries to reach."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_ADDRESS = re.compile(r'sin6?_addr\(?"?|inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"')


def can_be_alone() -> bool:
    """Tell whether this machine lets a process have a network of its own, and be watched."""
    if shutil.which("strace") is None or shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode == 0
    )


def reached(
    command: Sequence[str], trace: Path, environment: dict[str, str], cwd: Path
) -> set[str]:
    """Run a command to its end, and return the addresses outside that it tried to reach.

    Raises:
        AssertionError: The command failed; what it said is told.
    """
    done = subprocess.run(
        [
            *("unshare", "-n", sys.executable, "-m", "tests.faults.alone"),
            *("strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace)),
            *("-e", "trace=connect,sendto,sendmsg,sendmmsg"),
            *command,
        ],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    return outside(trace.read_text(errors="replace"))


def outside(trace: str) -> set[str]:
    """Return the addresses in a trace that are not this machine."""
    found = {match for match in _ADDRESS.findall(trace) if match}
    return {
        one for one in found if not one.startswith("127.") and one not in ("::1", "0.0.0.0", "::")
    }


def raise_loopback() -> None:
    """Bring up the loopback device of a new network namespace."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh", b"lo", 0).ljust(40, b"\0")
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, _GET_FLAGS, request)[:18])[1]
        fcntl.ioctl(
            any_socket, _SET_FLAGS, struct.pack("16sh", b"lo", flags | _UP).ljust(40, b"\0")
        )


if __name__ == "__main__":
    raise_loopback()
    os.execvp(sys.argv[1], sys.argv[1:])
