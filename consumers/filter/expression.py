"""A filter: an expression in CEL (cel.dev) over one event in its structured CloudEvents JSON form.

The event's attributes are names (`type`, `source`, `subject`, `id`, `time`, `partitionkey`, `partition`, `sequence`),
its body is `data`, and further attributes are members of `extensions`:

    data.tailnum == 'N14228'
    type == 'flights.EnrichedDeparture' && data.weather.wind_speed > 30
    subject.startsWith('/jobs/') || extensions.traceparent != ''
    data.legs.exists(leg, leg.dest == 'IAH')

Values are what the event shows as JSON: times, decimals, UUIDs and bytes are texts (`timestamp(time)` makes one a
time); whole numbers beyond 64 bits are doubles. An event does not match where a field is missing (`has(data.gate)`
asks), types do not fit, the result is not a boolean, or a list or text that is read is too large (`view.MAX_VALUES`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cel

from headrace.consumers.filter.bounds import check
from headrace.consumers.filter.equality import Equalities, equalities
from headrace.consumers.filter.fields import Source, visible
from headrace.consumers.filter.outcome import cannot_hold
from headrace.consumers.filter.tokens import InvalidFilter, tokenize
from headrace.consumers.filter.view import Reads, View

__all__ = ["Filter", "InvalidFilter"]

MAX_CHARACTERS = 2000

_FAULT = re.compile(r"ERROR: <input>:([0-9]+):([0-9]+): (?:Syntax error: )?(.*)")


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter. Filters of the same text are equal. May be used by several threads at once."""

    text: str
    reads: Reads = field(compare=False, repr=False)
    equalities: Equalities | None = field(compare=False, repr=False)
    _program: cel.Program = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Filter:
        """Read a filter; raises `InvalidFilter`, which says what is wrong and where. Equal ones are read once."""
        return _parse(text)

    @classmethod
    def read(cls, text: str) -> Filter:
        """The same, without looking whether it was read before."""
        if len(text) > MAX_CHARACTERS:
            raise InvalidFilter(f"a filter has at most {MAX_CHARACTERS} characters, not {len(text)}")
        program = _compile(text)
        tokens = tokenize(text)
        paths = check(text, tokens)
        if cannot_hold(tokens):
            raise InvalidFilter.at(text, tokens[0].start, "gives no true or false: compare it with something")
        return cls(text, Reads(paths), equalities(tokens), program)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether an event in structured JSON form, as `orjson.loads` gives it, matches. Never raises."""
        return self.decide(visible(event))

    def decide(self, event: Source, view: View | None = None) -> bool:
        """The same for an event as filters see it; `view` is one that shows what is read, where there is one."""
        if self.equalities is not None and not self.equalities.hold(event):
            return False
        if self.equalities is not None and self.equalities.decides:
            return True
        return self.evaluate(view or View(event, self.reads))

    def evaluate(self, view: View) -> bool:
        """What CEL says, without what the equalities say before."""
        return view.large.isdisjoint(self.reads.paths) and view.evaluate(self._program) is True


@lru_cache(maxsize=20_000)
def _parse(text: str) -> Filter:
    return Filter.read(text)


def _compile(text: str) -> cel.Program:
    try:
        return cel.compile(text)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library's panics are not of class Exception
        # The message repeats the text before it says what is wrong.
        fault = _FAULT.search(str(error), str(error).find(text) + len(text))
        where = (
            f"line {fault[1]}, column {fault[2]}: {fault[3].split(' expecting ')[0]}"
            if fault
            else "not an expression in CEL"
        )
        raise InvalidFilter(where) from error
