"""Figures for the screens: each for what its asker may see, in a number of statements that does not grow."""
