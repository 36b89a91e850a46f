"""A conversion's record as JSON text: what lies beside a twig, and what is exported."""

from __future__ import annotations

import json

import msgspec

from engine.guests.ledger import export_ledger, import_ledger
from engine.model.conversion import GuestFacts, Record
from engine.model.errors import FormatError, Problem
from engine.model.text import safe

VERSION = 1


def export_record(record: Record) -> str:
    """Return a record as JSON: the same record gives the same text."""
    content = {
        "version": VERSION,
        "guest": msgspec.to_builtins(record.guest),
        "ledger": json.loads(export_ledger(record.ledger)),
    }
    return json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def import_record(text: str) -> Record:
    """Return the record that was exported as JSON.

    Raises:
        FormatError: The text is no record, or one of a later version.
    """
    try:
        content = json.loads(text)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}")
        guest = msgspec.convert(content["guest"], GuestFacts)
        return Record(guest, import_ledger(json.dumps(content["ledger"])))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError(
            Problem(
                "conversion.record",
                f"The text is no record of a conversion: {safe(str(error))}.",
                "The boot point can be started all the same.",
                "Convert the boot point again to get a new one.",
            )
        ) from error
