"""The HTTP server: translate a request into one call, and its result into a reply."""
