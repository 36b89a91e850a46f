"""A guest's file systems in a throw-away kernel, an ordinary process (User Mode Linux)."""
