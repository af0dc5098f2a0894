"""Create the database and the keys: the first half of ``smartmatch init``."""

from installation import set_up_database

set_up_database()
