"""Run an installation as a whole: its parts, one command up, and how it is."""
