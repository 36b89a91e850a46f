"""Adapts guests to other hardware (P2V)."""
