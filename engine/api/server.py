"""The engine's side of the door."""
