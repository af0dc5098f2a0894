"""All SQL, one module a concern, and the key file beside the database."""
