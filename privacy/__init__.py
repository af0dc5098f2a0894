"""Pseudonyms and keys, redaction of free text, disclosure control: pure, but for what is loaded."""
