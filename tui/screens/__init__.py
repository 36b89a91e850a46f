"""One module per screen; each says with a pure function what stands on it."""
