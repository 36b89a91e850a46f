"""Tells: the door of the engine, one Unix socket, JSON-RPC 2.0, one message a line."""
