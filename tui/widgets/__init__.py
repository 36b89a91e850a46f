"""Parts of the screen that Textual draws: the board, the prompt."""
