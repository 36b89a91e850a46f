"""Does the work: short stories against the protocols of `engine.ports`."""
