"""Secrets: what may stand in a URL and must not stand in a message, a log or a file."""

import logging
import re

HIDDEN = "***"
# scheme://user:password@host; a password may hold an @, a host, path or quote ends it.
_USER = re.compile(r"(?<=://)[^\s/?#'\"<>]+@")
# What follows the question mark of a URL may be a signature or a token, whatever its name; without an = it is a glob's.
_QUERY = re.compile(r"(://[^\s?#'\"<>]*\?)[^\s'\"<>)]*=[^\s'\"<>)]*")


def redacted(text: str) -> str:
    """The text with the user, password and query of every URL in it hidden.

    Example:
        >>> redacted("cannot open 'https://ann:s3cret@example.org/a.csv?sig=42'")
        "cannot open 'https://***@example.org/a.csv?***'"
    """
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))


class Redacting(logging.Filter):
    """Hides them in every message of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = redacted(record.getMessage()), None
        return True
