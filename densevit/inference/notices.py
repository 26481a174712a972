"""What a user should know although a result is given."""
from __future__ import annotations


class DoubtfulResultWarning(UserWarning):
    """A result is given and may mean nothing; the message is one line and says what to do about it."""
