"""What Linux guests keep where, and how it is changed: text in, text out."""
