"""The console: a full-screen program that talks to the engine through its door."""
