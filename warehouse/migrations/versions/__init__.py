"""One file a revision of the schema, oldest first; what has been released never changes."""
