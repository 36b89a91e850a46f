"""A pause and a boot point asked for by hand, in a running engine: the later decision counts."""

from __future__ import annotations

from pathlib import Path

from engine.model.points import Stage
from engine.stores.memory import MemoryStore
from tests.running import running, wait


def test_of_a_pause_and_a_now_the_later_counts(tmp_path: Path) -> None:
    """Now in a pause makes one boot point and leaves the pause; a pause puts off a now."""
    with running({"local": MemoryStore("local")}, {"erp": "local"}, tmp_path / "reports") as one:
        one.arrive("erp")
        wait(lambda: one.state.read().ready("erp"))
        one.desk.hold("erp", "storage move", "mo")
        one.arrive("erp", 2)
        one.idle()
        assert [p.sequence for p in one.state.read().ready("erp")] == [1]
        one.desk.build("erp", "jo")
        wait(lambda: len(one.state.read().ready("erp")) == 2)
        one.idle()
        assert [p.sequence for p in one.state.read().ready("erp")] == [1, 3]
        assert one.engine.standbys["erp"].held == "mo: storage move"
        one.arrive("erp")
        one.idle()
        assert [p.sequence for p in one.state.read().ready("erp")] == [1, 3]
        with one.engine.lock:  # nothing begins before the pause is renewed
            one.desk.build("erp", "jo")
            one.desk.hold("erp", "still moving", "mo")
        one.idle()
        made = one.state.read().points_of("erp")
        assert [p.stage for p in made if p.sequence == 4] == [Stage.PENDING]
        one.desk.resume("erp", "mo")
        wait(lambda: [p.sequence for p in one.state.read().ready("erp")] == [1, 3, 4])
