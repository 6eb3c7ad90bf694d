"""Errors that a user can mend. Every other exception is a defect of hazardline and keeps its traceback."""


class UserError(Exception):
    """Something outside the program is wrong, and the message says what, what was expected and what to do.

    Commands print the message without a traceback and exit with status 2; stages record it as their reason.
    """


class RefusedOutputError(UserError):
    """A stage has written all that it found, and refuses it as an input of what follows.

    The store keeps nothing of it. By hand the folder is left for the user to look into.
    """


class StoppedError(UserError):
    """The program was told to end (SIGTERM) and has kept what it needs to go on when it is run again."""
