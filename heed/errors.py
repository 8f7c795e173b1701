"""The one exception for a user's mistake.

The command line prints its message as one paragraph and exits with code 2; a traceback means a
defect of Heed's own.
"""


class UserError(Exception):
    """What was wrong, where (file and line), and what to do about it, in one paragraph."""


class Interrupted(Exception):  # noqa: N818 - the user's wish, no error
    """Ctrl-C, after everything was saved. Its message says how to go on; exit code 130."""
