"""The commands about alerts and measured values, for the table of commands."""

from __future__ import annotations

from engine.cli.option import Command, Option

ALERTING = (
    Command(
        "alerts",
        "List what is wrong and was told, or will be.",
        "alerting:alerts",
        ("bootpoint alerts", "bootpoint alerts --json", "bootpoint alerts --read-only"),
    ),
    Command(
        "alert test",
        "Send a test through the engine, by one way out or all (also: alert --test).",
        "alerting:test",
        ("bootpoint alert --test", "bootpoint alert test mail", "bootpoint alert test --json"),
        (
            Option(
                ("way",),
                "mail, syslog or webhook.NAME (default: all)",
                "WAY",
                nargs="?",
                default="",
            ),
        ),
    ),
    Command(
        "metrics",
        "Print measured values in Prometheus' text format.",
        "alerting:metrics",
        ("bootpoint metrics", "bootpoint metrics --read-only", "bootpoint metrics --json"),
    ),
    Command(
        "alert ack",
        "Say that you look after an alert: nobody is reminded of it.",
        "alerting:ack",
        (
            "bootpoint alert ack rpo:erp",
            "bootpoint alert ack silence:web --note 'backup server is down, ticket 4711'",
            "bootpoint alert ack rpo:erp --json",
        ),
        (
            Option(("key",), "the alert's key, as `alerts` lists it", "KEY", kind="alert"),
            Option(("--note",), "what is done about it, for the others", "TEXT", default=""),
        ),
    ),
)
