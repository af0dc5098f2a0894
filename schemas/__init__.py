"""Contracts: what is sent, stored and configured."""
