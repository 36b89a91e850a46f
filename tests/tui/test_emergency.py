"""The emergency: from one key to a guest that runs, with what an operator must know on the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import msgspec

from engine.api.views import Plan, Step
from engine.model.alarms import Alert, Condition
from engine.model.guard import GUARD
from engine.model.retention import Retention
from engine.model.work import JobKind, JobStatus, Phase, Severity
from tests.scripted import NOW, ScriptedService, boot_point, recovery_point
from tests.tui.bench import Bench
from tui.actions import is_same


def history(service: ScriptedService, seconds: float) -> None:
    """Let dc have been started and stopped before: 1 s each step, so long until the prompt."""
    job = service.begin_job(JobKind.START, "dc", service.snapshot().state.ready("dc")[-1].id)
    began = NOW - timedelta(days=1)
    steps = ("scratch", "define", "power on")
    done = replace(
        job,
        status=JobStatus.DONE,
        queued_at=began,
        started_at=began,
        ended_at=began + timedelta(seconds=3),
        phases=(
            *(Phase(name, began + timedelta(seconds=at)) for at, name in enumerate(steps)),
            Phase("prompt", began + timedelta(seconds=3 + seconds)),
        ),
    )
    service.store(jobs={**service.snapshot().state.jobs, job.id: done})


async def test_the_first_page_says_what_is_lost_and_how_long_it_takes(bench: Bench) -> None:
    """An increment that arrived and is not ready, the time by history, the guard's calm."""
    service = bench.start()
    service.put(recovery_point("dc", 5, NOW - timedelta(minutes=2)))
    history(service, 41)
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("f")
        text = await hand.sees("> emergency", "nothing has changed yet", "<- proposed")
        assert "increment 5, 1.0 GiB: arrived, nothing was made of it yet" in text
        assert "about 3s to power on, about 44s to login prompt" in text
        assert "of this machine." in text
        assert "of work;" in text
        assert service.calls == []
        await hand.press("escape")
        await hand.sees("CAN START NOW")


async def test_a_boot_point_that_becomes_ready_meanwhile_is_shown(bench: Bench) -> None:
    """It is proposed; the cursor stays where it was, and what it would lose is told anew."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("f")
        await hand.sees("+ bp000012", "It is the newest")
        newer = recovery_point("dc", 5, NOW - timedelta(minutes=2))
        service.put(newer)
        service.put(boot_point(13, newer))
        text = await hand.sees("+ bp000013", "+ bp000012", "increments after it")
        assert hand.console.core.spot.chosen == "bp000012"
        assert "bp000013" in next(line for line in text.splitlines() if "<- proposed" in line)
        assert "It is the newest" not in text


async def test_what_looks_encrypted_is_said_and_still_starts(bench: Bench) -> None:
    """The guard holds the retention of dc: its words stand there; the start goes on anyhow."""
    service = bench.start()
    reason = "Increment 4 changed 60.0 % of the disks. It may be encrypting its data."
    dc = service.snapshot().standbys["dc"]
    service.put_standby(replace(dc, retention=Retention(hold=f"{GUARD}: {reason}")))
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("2", "1", "f")
        await hand.sees("> emergency", "Increment 4 changed 60.0 %")
        hand.console.core.spot.opened -= 60
        await hand.press("down", "enter")
        await hand.sees("EMERGENCY START", "Boot point   bp000011", "(o) No")
        await hand.agree("dc")
        await hand.sees("RUNS ISOLATED", "boot point bp000011")
        assert service.calls[0][:3] == ("start", "dc", "bp000011")


async def test_each_phase_is_seen_beside_what_it_usually_takes(bench: Bench) -> None:
    """While it starts and while the guest comes up; `f` again leads to the same page."""
    service = bench.start(ScriptedService(settles=False))
    history(service, 41)
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        await hand.agree("dc")
        await hand.sees("> STARTING", "PHASE", "USUALLY", "> waits its turn", ". power on")
        job = next(iter(service.snapshot().state.live_jobs("dc")))
        phases = (Phase("scratch", NOW), Phase("define", NOW + timedelta(seconds=2)))
        live = replace(job, status=JobStatus.RUNNING, started_at=NOW, phases=phases)
        service.store(jobs={**service.snapshot().state.jobs, job.id: live})
        text = await hand.sees("+ scratch layer", "> define the VM", ". login prompt")
        line = next(line for line in text.splitlines() if "scratch layer" in line)
        assert line.split()[-2:] == ["2s", "1s"]
        service.end_job(job.id)
        await hand.sees("RUNS ISOLATED", "> login prompt", "i types at it, o shows its")
        await hand.press("1")
        await hand.sees("CAN START NOW")
        await hand.press("f")
        await hand.sees("dc > run", "RUNS ISOLATED")


async def test_a_start_that_fails_marks_its_phase_and_says_what_now(bench: Bench) -> None:
    """The last phase is crossed; nothing runs, and another boot point is a key away."""
    service = bench.start(ScriptedService(settles=False))
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        await hand.agree("dc")
        await hand.sees("> STARTING")
        job = next(iter(service.snapshot().state.live_jobs("dc")))
        live = replace(job, phases=(Phase("power on", NOW),), started_at=NOW)
        service.store(jobs={**service.snapshot().state.jobs, job.id: live})
        service.end_job(job.id, JobStatus.FAILED, "QEMU ended at once.")
        await hand.sees("X DID NOT START", "X power on", "QEMU ended at once.", "f chooses")
        await hand.press("f")
        await hand.sees("> emergency")


async def test_an_alert_is_looked_after_with_a_note(bench: Bench) -> None:
    """`m` asks what is done, and tells the engine; a lone Esc tells nothing."""
    service = bench.start()
    condition = Condition("rpo:dc", Severity.WARNING, "dc", "dc is late", "It is late.", "Look.")
    alert = Alert(condition, NOW, NOW)
    service.store(alerts={alert.key: alert})
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.press("7")
        await hand.sees("ALERTS RAISED: 1", "nobody yet: m if you do", "m look after")
        await hand.press("m", "escape")
        assert service.calls == []
        await hand.press("m")
        await hand.type("ticket 4711")
        await hand.press("enter")
        await hand.sees("is looked after by", "Looks after", "ticket 4711")
        assert service.calls == [("ack_alert", "rpo:dc", "ticket 4711", "root")]
        await hand.press("f")
        await hand.sees("dc > emergency")


async def test_an_engine_that_was_started_again_still_does_what_is_on_the_page(
    bench: Bench,
) -> None:
    """It forgot the plan; the same is planned anew and done. The name need not be typed twice."""
    service = bench.start()
    async with bench.open() as hand:
        await hand.sees("CAN START NOW")
        await hand.emergency()
        bench.stop()
        await hand.sees("ENGINE NOT ANSWERING")
        bench.start(service)
        await hand.misses("ENGINE NOT ANSWERING")
        await hand.agree("dc")
        await hand.sees("dc > run")
        assert [call[:2] for call in service.calls] == [("start", "dc")]


def test_a_plan_that_would_do_something_else_is_not_the_same() -> None:
    """Another boot point, another step, a name to type: each must be seen before it is done."""
    plan = Plan(plan="p1", action="start", machine="dc", point="bp1", expires=NOW, lost_s=60.0)
    assert is_same(plan, msgspec.structs.replace(plan, plan="p2", lost_s=75.0))
    for change in ({"point": "bp2"}, {"steps": [Step(text="stop it")]}, {"confirm": "dc"}):
        assert not is_same(plan, msgspec.structs.replace(plan, **change))
