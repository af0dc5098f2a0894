"""Commands of ``smartmatch`` by subject; ``cli.py`` gathers them."""
