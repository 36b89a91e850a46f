"""A share that stops answering in the middle of an image, with the whole engine."""

from __future__ import annotations

from pathlib import Path

from engine.model.points import Stage
from engine.model.slots import Limits
from engine.model.standby import Standby
from engine.stores.probe import open_store
from tests.formats.bpifiles import GRAIN
from tests.hanging import hanging
from tests.histories import Machine, following

MIB = 1 << 20
SILENT_S = 2.0


def test_a_share_that_hangs_holds_no_slot_and_goes_on_later(tmp_path: Path) -> None:
    """Its job ends in words, another machine gets its one slot, and the next try succeeds."""
    erp = Machine(tmp_path, "erp", {"a": 16 * MIB})
    erp.write("a", *range(16 * MIB // GRAIN))
    web = Machine(tmp_path, "web", {"a": MIB})
    place, sign = tmp_path / "share", tmp_path / "hang"
    for folder in (erp.sent, web.sent, place):
        folder.mkdir(parents=True)
    whole = erp.shoot("a")
    erp.send(whole)
    sign.touch()
    store = open_store(tmp_path / "store", "qcow2", "local")
    standbys = [Standby("erp", str(place)), Standby("web", str(web.sent))]
    limits = Limits(jobs=1, retry_first_s=1)
    with (
        hanging(erp.sent, place, sign),
        following(store, tmp_path / "store", standbys, limits=limits, silent_s=SILENT_S) as one,
    ):
        one.until(lambda: [p.stage for p in one.points("erp").values()] == [Stage.FAILED], "erp")
        (point,) = one.points("erp").values()
        assert f"{place} has not answered for 2 s" in point.reason

        small = web.shoot("a")
        web.send(small)
        one.settled("web", small)

        sign.unlink()
        one.settled("erp", whole)
        one.check(erp)
    store.close()
