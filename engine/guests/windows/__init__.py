"""What is special about guests with Windows."""
