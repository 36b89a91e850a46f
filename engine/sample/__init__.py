"""Builds and grows the sample site: a real guest, imaged and replicated."""
