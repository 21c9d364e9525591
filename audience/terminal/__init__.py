"""What stands between commands and those who give them: the menu, streams, a screen, and what is printed of things."""
