"""Pure: everything about one standby in one view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.api.guest_views import QuestionView, RunView
from engine.api.reviewing import usual_pace, usual_views
from engine.api.serial import last_lines
from engine.api.views import DiskView, FleetView, MachineView, PointView
from engine.daemon.service import Snapshot
from engine.model.images import RecoveryPoint
from engine.model.layers import Layer, LayerKind, LayerName, layer_name
from engine.model.line import lies_in
from engine.model.machine import Asked, Firmware, Hints, Power, Signs
from engine.model.points import BootPoint, Stage
from engine.model.standby import Standby
from engine.model.text import safe

MOST_POINTS = 1000
"""Boot points shown of one machine."""
SERIAL_LINES = 40
REASON = 400
OBSTACLE = 1000
"""Characters shown of a reason, and of one that ends with what to do about an obstacle."""
MEMORY, CPUS = 1 << 30, 2
"""Of a standby VM whose image and definition say nothing."""


def machine_view(snapshot: Snapshot, standby: Standby, fleet: FleetView) -> MachineView:
    """Return the view of one standby, given its fleet line."""
    name = standby.name
    source = snapshot.sources.get(name, "")
    newest = _newest_image(snapshot, standby, source)
    hints = newest.hints if newest else Hints()
    target = next((t for t in snapshot.targets if t.name == standby.target), None)
    points = snapshot.state.points_of(name)
    layers = snapshot.layers.get(name, {})
    shown = points[-MOST_POINTS:]
    usual = usual_pace(snapshot, standby)
    return MachineView(
        id=name,
        fleet=fleet,
        images=safe(standby.images, REASON),
        source=safe(newest.machine_name if newest else standby.machine),
        set_id=safe(newest.set_id if newest else ""),
        trigger=str(standby.trigger),
        keep=standby.keep,
        target=standby.target,
        store=target.store if target else "",
        memory=standby.memory or hints.memory or MEMORY,
        cpus=standby.cpus or hints.cpus or CPUS,
        firmware=(standby.firmware or hints.firmware or Firmware.BIOS).value,
        disks=_disks(newest),
        points=[_point(point, snapshot, layers) for point in shown],
        run=_run(snapshot, standby),
        waiting=[safe(text, REASON) for text in snapshot.waiting.get(name, ())],
        hidden=len(points) - len(shown),
        held=safe(standby.held, REASON) if standby.is_held(snapshot.now) else "",
        held_until=standby.held_until if standby.is_held(snapshot.now) else None,
        backlog=standby.backlog.value,
        blackouts=[one.text for one in snapshot.calendar.blackouts_of(standby)],
        blackout_until=snapshot.calendar.closed_until(standby, snapshot.now),
        usual=usual_views(usual),
        whose=usual.whose,
    )


def _newest_image(snapshot: Snapshot, standby: Standby, source: str) -> RecoveryPoint | None:
    mine = [
        point
        for point in snapshot.state.recovery_points.values()
        if point.machine_uuid == source and lies_in(point, standby.images)
    ]
    return max(mine, key=lambda point: (point.taken_at, point.sequence), default=None)


def _disks(point: RecoveryPoint | None) -> list[DiskView]:
    if point is None:
        return []
    return [
        DiskView(number=disk.part.number, size=disk.part.size, uuid=safe(disk.part.uuid))
        for disk in point.disks
    ]


def _point(point: BootPoint, snapshot: Snapshot, layers: Mapping[LayerName, Layer]) -> PointView:
    image = snapshot.state.recovery_points.get(point.recovery_point)
    verdict = snapshot.verdicts.get(point.id)
    own = [layers[name] for name in {point.replica, point.boot} if name in layers]
    armed = _is_armed(point, snapshot, layers)
    return PointView(
        id=point.id,
        sequence=point.sequence,
        data_as_of=point.taken_at,
        stage=point.stage.value,
        recovery_point=safe(point.recovery_point),
        bytes=point.bytes,
        used=sum(layer.used for layer in own),
        ready_at=point.ready_at,
        reason=safe(point.reason, OBSTACLE if point.obstacle else REASON),
        kept=safe(_kept(point, verdict.reason if verdict else "", is_armed=armed), REASON),
        keep=verdict is None or verdict.keep,
        pin=safe(point.pin),
        images=_files(image),
        obstacle=safe(point.obstacle),
        skipped=point.skipped,
        asked=point.asked,
        proven_at=point.proven_at,
    )


def _is_armed(point: BootPoint, snapshot: Snapshot, layers: Mapping[LayerName, Layer]) -> bool:
    """Tell whether a power-on in the target's own client starts this boot point."""
    standby = snapshot.standbys.get(point.standby)
    target = next((one for one in snapshot.targets if standby and one.name == standby.target), None)
    if target is None or target.capabilities is None or not target.capabilities.arms:
        return False
    scratch = layer_name(point.id, LayerKind.SCRATCH)
    return scratch in layers and point.standby not in snapshot.state.runs


def _kept(point: BootPoint, reason: str, *, is_armed: bool) -> str:
    """Return why a boot point stays, and of how many recovery points it was made."""
    many = f"{point.skipped + 1} recovery points in one" if point.skipped else ""
    waits = "converted after newer ones" if point.stage is Stage.PENDING and point.has_trunk else ""
    armed = "armed: Power on in the target's own client starts it" if is_armed else ""
    return "; ".join(part for part in (reason, waits, many, armed) if part)


def _files(image: RecoveryPoint | None) -> list[str]:
    disks: Sequence[str] = [disk.path for disk in image.disks] if image else ()
    return [safe(path.rsplit("/", 1)[-1]) for path in disks if path]


def _run(snapshot: Snapshot, standby: Standby) -> RunView | None:
    run = snapshot.state.runs.get(standby.name)
    if run is None:
        return None
    signs = snapshot.signs.get(standby.name)
    target = next((t for t in snapshot.targets if t.name == standby.target), None)
    able = target.capabilities if target else None
    return RunView(
        point=run.boot_point,
        since=run.started_at,
        power=(signs.power if signs else Power.OFF).value,
        serial=last_lines(signs.serial_tail, SERIAL_LINES) if signs else [],
        accelerator=able.accelerator if able else "",
        guest=list(_guest(signs)) if signs else [],
        home=safe(signs.home, 200) if signs else "",
        homing=able.homing.value if able else "none",
        question=question_view(signs.question) if signs else None,
    )


def question_view(asked: Asked | None) -> QuestionView | None:
    """Return what a VM asks."""
    if asked is None:
        return None
    choices: list[str] = [safe(one, 100) for one in asked.choices]
    return QuestionView(id=asked.mark, text=safe(asked.text, 400), choices=choices)


def _guest(signs: Signs) -> Iterator[str]:
    """Yield what is known of a running guest, most urgent first."""
    if signs.question:
        yield f"It waits for an answer on its target: {safe(str(signs.question), 400)}"
    if signs.home:
        yield f"It is at home on datastore {safe(signs.home, 200)}."
    if signs.leaving:
        yield f"It is on its way home to datastore {safe(signs.leaving, 200)}."
    if signs.agent is not None:
        yield f"The guest's tools {'answer' if signs.agent else 'do not answer'}."
    if signs.addresses:
        shown = ", ".join(safe(one, 64) for one in list(signs.addresses)[:8])
        yield f"It has the addresses {shown}."
