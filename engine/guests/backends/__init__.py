"""Hands that read guests' volumes and replay plans into twigs."""
