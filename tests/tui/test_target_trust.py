"""A host with a new certificate, compared and pinned by keys only at the console of an engine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.contract.disk_chains import xfs
from tests.esxi.conftest import made, sim
from tests.esxi.living import Site, site
from tests.tui.test_new_target import agree
from tests.tui.test_target_life import console
from tests.vcsim.simulator import Sim, certificate

__all__ = ["made", "sim", "site", "xfs"]


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_a_new_certificate_is_compared_and_pinned_by_keys_only(
    site: Site, sim: Sim, tmp_path: Path, size: tuple[int, int]
) -> None:
    """The pinned one stands beside it, `no` is chosen first, and the target answers afterwards."""
    (folder := tmp_path / "new").mkdir()
    new = certificate(folder, "renewed")
    site.start()
    site.add(sim)
    site.waits(lambda there: there["esx-01"].state == "ready")
    sim.proxy.certify(new.cert, new.key)
    site.run("target", "check", "esx-01", code=1)
    sim.proxy.calls.clear()
    before = site.file.read_text()
    async with console(site, size) as hand:
        await hand.press("end", "enter")
        text = await hand.sees("> targets > esx-01", "lost")
        whole = "target trust esx-01. If not, somebody stands between."
        assert size[1] < 24 or whole in " ".join(text.split())
        await hand.press("p")
        await hand.sees("TARGET esx-01 SHOWS ANOTHER CERTIFICATE", "(o) No", "( ) Yes")
        text = await hand.sees(":".join([new.pin[:2].upper(), new.pin[2:4].upper()]))
        assert size[1] < 24 or "Pinned now" in text
        await asyncio.sleep(0.35)
        await hand.press("enter")
        await hand.sees("Nothing was changed.", "> targets > esx-01")
        assert (site.file.read_text(), sim.proxy.calls) == (before, [])
        await hand.press("p")
        await hand.sees("TARGET esx-01 SHOWS ANOTHER CERTIFICATE")
        await agree(hand)
        await hand.sees("Pinned; target esx-01 answers.", "> targets > esx-01")
        assert site.file.read_text() == before.replace(sim.certificate.pin, new.pin)
        await hand.press("p")
        await hand.sees("SHOWS THE PINNED CERTIFICATE", "Back")
        await asyncio.sleep(0.35)
        await hand.press("enter")
        await hand.sees("ready", "> targets > esx-01")


async def test_what_shows_none_or_may_not_be_asked_says_so(site: Site) -> None:
    """A simulated target has no certificate; a viewer may not even ask."""
    site.start()
    async with console(site, (80, 24)) as hand:
        await hand.press("p")
        await hand.sees("Only an ESXi host or vCenter shows a certificate.")
    async with console(site, (80, 24), read_only=True) as hand:
        await hand.press("p")
        await hand.sees("it only looks")
