"""Every mistake a user can make raises a :class:`SiameseError`; anything else is a bug of ours.

The command line prints the sentence and exits 2. A sentence says what is wrong, where, what was expected and how to mend it.
"""

from siamese.secrets import redacted


class SiameseError(Exception):
    """Root of the family: catch this one to catch them all. Its sentence shows no password or signature of a URL."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(redacted(sentence))


class SchemaError(SiameseError):
    """The fields asked for do not fit the columns given."""


class SettingsError(SiameseError):
    """A setting is unknown or out of its range."""


class PromiseError(SettingsError):
    """A precision or recall that the evidence does not promise."""


class DataError(SiameseError):
    """Records or pairs that cannot be read, or do not say what they must."""


class ArtifactError(SiameseError):
    """A model, index or run folder that is damaged, of another format, or made by something else."""


class OutputError(SiameseError):
    """A result that cannot be written where it was asked for."""


def reason(error: BaseException) -> str:
    """The first line of another's error, without the sentence end."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].strip().rstrip(".")
