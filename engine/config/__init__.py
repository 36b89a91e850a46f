"""Reads engine.toml and standbys.d/ into the model; writes standbys."""
