"""Touches the machine: durable files, folders that cannot be escaped, bounded threads, tools."""
