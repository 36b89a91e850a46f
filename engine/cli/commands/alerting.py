"""Commands about alerts: list, test the ways out, acknowledge."""

from __future__ import annotations

from engine.api.alert_views import MetricsView, TriedView
from engine.api.views import AlertView, Done
from engine.api.words import age
from engine.cli.context import Context

SEVERITY = {"info": " ", "warning": "!", "error": "X"}


def alerts(context: Context) -> int:
    """Print the alerts, the gravest first."""
    with context.client() as client:
        found = client.call("alerts", list[AlertView])
        now = client.hello.now
    output = context.output
    if output.as_json:
        output.object(items=found)
        return 0
    raised = [one for one in found if one.cleared_at is None]
    if not found:
        output.say("Nothing is wrong that an alert tells of.")
        return 0
    output.say(f"ALERTS RAISED: {len(raised)}")
    for one in found:
        over = "" if one.cleared_at is None else "   over, not told everywhere yet"
        since = age((now - one.raised_at).total_seconds())
        output.say(f"{SEVERITY.get(one.severity, ' ')} {one.id}   since {since}{over}")
        output.say(f"    {one.text}", *([f"    {one.remedy}"] if one.remedy else []))
        if one.acked_by:
            output.say(
                f"    {one.acked_by} looks after it" + (f": {one.note}" if one.note else ".")
            )
        if one.told:
            output.say(f"    told: {', '.join(one.told)}")
    return 0


def test(context: Context, *, way: str) -> int:
    """Send a test; return 1 if one way does not work."""
    with context.client() as client:
        tried = client.call("alert.test", list[TriedView], way=way)
    output = context.output
    failed = [one for one in tried if one.problem]
    if output.as_json:
        output.object(items=tried, failed=len(failed))
    else:
        for one in tried:
            result = f"did not work: {one.problem}" if one.problem else "took the test"
            output.say(f"{'X' if one.problem else '+'} {one.name} ({one.where}) {result}")
    return 1 if failed else 0


def metrics(context: Context) -> int:
    """Print measured values."""
    with context.client() as client:
        found = client.call("metrics", MetricsView)
    if context.output.as_json:
        context.output.object(type=found.type, text=found.text)
    else:
        context.output.say(*found.text.splitlines())
    return 0


def ack(context: Context, *, key: str, note: str) -> int:
    """Acknowledge an alert."""
    with context.client() as client:
        done = client.call("alert.ack", Done, alert=key, note=note)
    if context.output.as_json:
        context.output.object(text=done.text, alert=key)
    else:
        context.output.say(done.text)
    return 0
