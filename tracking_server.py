"""Serve the HTTP API: the same as ``smartmatch serve``."""

from cli import main

main(["serve"])
