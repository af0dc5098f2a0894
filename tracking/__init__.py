"""The client that a platform imports: consent, events, and a spool that loses none of them.

It needs none of the server's libraries; ``tracking.collector``, ``tracking.privacy`` and
``tracking.schema`` are the names that stay.
"""
