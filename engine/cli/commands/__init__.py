"""The commands, one module for each kind; imported only when used."""
