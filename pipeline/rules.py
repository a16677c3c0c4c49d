"""Rules: which record of a cluster gives each field of its golden record."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from siamese.errors import SettingsError
from siamese.schema import listed


class Rule(StrEnum):
    """Whose value a golden record takes. A record without a value in the field is passed over, whatever the rule but the last."""

    MOST_FREQUENT = "most_frequent"  # the value that most records have
    MOST_COMPLETE = "most_complete"  # that of the record with the most fields filled
    LONGEST = "longest"  # the one with the most characters
    NEWEST = "newest"  # that of the record with the latest date
    SOURCE_PRIORITY = "source_priority"  # that of the record whose source comes first in the list
    REPRESENTATIVE = "representative"  # that of the representative, missing or not


class GoldenRules(BaseModel):
    """The table ``[golden]`` of a config. Example::

    [golden]
    default = "most_frequent"
    newest_by = "updated_at"        # column of dates, for the rule newest
    source = "shop"                 # column and order, for the rule source_priority
    source_priority = ["crm", "web"]
    [golden.fields]
    price = "newest"
    phone = "source_priority"

    Fields that belong together, such as street and city, stay together where they have the rule ``representative``; ``most_complete``,
    ``newest`` and ``source_priority`` take them from one record too, as far as it has them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    default: Rule = Rule.MOST_FREQUENT
    fields: dict[str, Rule] = {}
    newest_by: str | None = None
    source: str | None = None
    source_priority: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        used = {self.default, *self.fields.values()}
        if Rule.NEWEST in used and self.newest_by is None:
            raise ValueError('the rule newest needs a column of dates: add newest_by = "COLUMN"')
        if Rule.SOURCE_PRIORITY in used and (self.source is None or not self.source_priority):
            raise ValueError(
                'the rule source_priority needs a column and an order: add source = "COLUMN" and source_priority = ["FIRST", "SECOND"]'
            )
        if len(set(self.source_priority)) < len(self.source_priority):
            raise ValueError(f"source_priority names a source twice: {', '.join(self.source_priority)}")
        return self

    def of(self, field: str) -> Rule:
        return self.fields.get(field, self.default)

    def check(self, columns: Iterable[str], id_column: str) -> None:
        """Raises SettingsError: a column that is named is not there, or is the id, which is always the representative's."""
        columns = list(columns)
        named = {f"fields.{name}": name for name in self.fields} | {"newest_by": self.newest_by, "source": self.source}
        for setting, name in named.items():
            if name is not None and name not in columns:
                have = listed(columns)
                raise SettingsError(f"golden.{setting} names column '{name}', which the records lack: they have {have}")
        if id_column in self.fields:
            raise SettingsError(
                f"golden.fields names '{id_column}', the id: a golden record has the id of its cluster's representative, take it out"
            )
