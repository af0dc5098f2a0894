"""The whole loop, to watch: the real server and the real flows in a database of its own."""
