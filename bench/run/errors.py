"""The one error that the command line prints without a stack trace."""


class UserError(Exception):
    """Something the user can mend; the message is one line."""
