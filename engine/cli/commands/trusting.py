"""The command that pins the new certificate of a known host."""

from __future__ import annotations

from engine.api.contact_views import AddedView, ContactView
from engine.api.errors import EngineAway
from engine.cli.commands.contact import first_contact
from engine.cli.commands.removing import untold
from engine.cli.commands.target import looked
from engine.cli.context import Context, wish_key

_UNCHANGED = "Its pin was left as it was."


def trust(context: Context, *, name: str, pin: str | None) -> int:
    """Show what a host shows and what is pinned, let a person compare it, pin it, then look.

    The running engine does it, and goes by it at once; where none runs, this program does.
    """
    context.may_change("target trust")
    try:
        with context.client() as client:
            seen = client.call("target.meet", ContactView, target=name)
    except EngineAway:
        return _alone(context, name, pin)
    compared = pin or _compared(context, name, seen)
    with context.client() as client:
        done = client.call("target.trust", AddedView, target=name, pin=compared, key=wish_key())
    how = "The running engine goes by it."
    if done.why is not None:
        how = untold(done.why.text, done.why.remedy)
    return _tell(context, seen, done.file, how, known=done.known)


def _alone(context: Context, name: str, pin: str | None) -> int:
    from engine.api.target_views import contact_view
    from engine.config.engine import load_engine
    from engine.daemon.trusting import meet, trust

    told = load_engine(context.config)
    met = meet(told, name)
    seen = contact_view(name, met.contact, met.pin)
    trust(told, name, pin or _compared(context, name, seen))
    how = "No engine answers here; it goes by it when it starts."
    return _tell(context, seen, str(met.one.file), how, known=False)


def _compared(context: Context, name: str, seen: ContactView) -> str:
    """Return the pin of what the host shows, after a person compared what is not pinned."""
    if seen.sha256 == seen.pinned:
        return seen.sha256
    return first_contact(context, name, seen, _UNCHANGED)


def _tell(context: Context, seen: ContactView, file: str, how: str, *, known: bool) -> int:
    from engine.hypervisors.esxi.trust import normal_pin

    what = f"The host's new certificate was pinned for target {seen.id} ({file})."
    if seen.sha256 == seen.pinned:
        what = f"The host of target {seen.id} shows the certificate that is pinned in {file}."
    if not context.output.as_json:
        context.output.say(f"{what} {how}")
    return looked(context, seen.id, file=file, pinned=normal_pin(seen.sha256), known=known)
