"""Register the first champion: the second half of ``smartmatch init``."""

from installation import set_up_model

set_up_model()
