"""Calls out: the ways by which alerts leave the house, and the sign that the engine is well."""
