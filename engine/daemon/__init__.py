"""Runs: loop, runner, clock, events."""
