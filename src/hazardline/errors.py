"""Errors that a user can mend. Every other exception is a defect of hazardline and keeps its traceback."""


class UserError(Exception):
    """Something outside the program is wrong, and the message says what, what was expected and what to do.

    Commands print the message without a traceback and exit with status 2; stages record it as their reason.
    """
