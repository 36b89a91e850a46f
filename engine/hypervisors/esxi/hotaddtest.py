"""What only a real host can show of transport `hotadd`, tried with a VM that is thrown away.

It goes the way that boot points go: a seed with its twig, one more layer of the trunk, a start, a
retirement; and reads back after each step what the host made of the bytes. On the way it tells
slot, unit and names of the attached disks, which no simulator has.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from engine.hypervisors.esxi.hotaddhost import HotaddHypervisor
from engine.hypervisors.esxi.hotaddlink import HotaddLink
from engine.hypervisors.esxi.hotaddstore import HotaddStore
from engine.hypervisors.esxi.trying import NotTried, Unlike, tried
from engine.hypervisors.esxi.unverified import by_hand, numbered
from engine.model.errors import Failure
from engine.model.layers import DiskManifest, LayerKind, LayerManifest, LayerName
from engine.model.machine import Firmware, Gravity, Network, Nic, Power, VMRef, VMSpec
from engine.model.selftests import Check
from engine.ports import NeverCancelled

log = logging.getLogger(__name__)

NAME = "bootpoint-selftest"
_MIB = 1 << 20
_SIZE = 64 * _MIB
_SEED, _TWIG, _NEXT, _RUN = (LayerName(f"selftest-{one}") for one in ("a", "a-twig", "b", "run"))
_BASE = {0: b"seed" * 1024, 40 * _MIB: b"far" * 4096}
_SPEC = VMSpec(NAME, Firmware.UEFI, 1, 256 * _MIB, (Nic("nic0", ""),))
_WHEN = datetime(2026, 1, 1, tzinfo=UTC)
Bytes = Mapping[int, bytes]
"""Offset -> what lies there."""


class HotaddSelfTest:
    """One run on one target."""

    def __init__(
        self, store: HotaddStore, link: HotaddLink | None, target: HotaddHypervisor | None
    ) -> None:
        """Prepare.

        Args:
            store: Of its own, empty; its papers may be deleted afterwards.
            link, target: The host; without them only the layers are tried.
        """
        self._store, self._link, self._target = store, link, target
        self._chain = store.chain(NAME)
        self._done: set[str] = set()

    def run(self) -> Iterator[Check]:
        """Yield each check as it ends; at the end nothing of it is left on the host."""
        self._clear()
        try:
            for key, claim, needs, check in self._list():
                yield self._tried(key, claim, needs, check)
        finally:
            with contextlib.suppress(Failure, OSError):
                self._clear()
        yield from by_hand("hotadd")

    def _list(self) -> list[tuple[str, str, str, Callable[[], str]]]:
        layers: list[tuple[str, str, str, Callable[[], str]]] = [
            ("seed", "A new disk is found for certain, written and read back.", "", self._seed),
            ("seal", "A snapshot is made, and its frozen disk reads the same.", "seed", self._seal),
            ("twig", "A second leaf grows; the frozen disk below stays.", "seal", self._twig),
            (
                "trunk",
                "After a revert the leaf reads as the trunk, not the twig.",
                "twig",
                self._trunk,
            ),
            (
                "retire",
                "Twig and oldest snapshot go, and the newest reads the same.",
                "trunk",
                self._retire,
            ),
        ]
        if self._target is None:
            return layers
        return [
            ("version", "The host speaks a version that this program knows.", "", self._version),
            ("preflight", "Nothing stands in the way.", "", self._preflight),
            *layers[:4],
            (
                "start",
                "The VM starts on a leaf, isolated, and its power can be cut.",
                "twig",
                self._start,
            ),
            ("grown", "Its files show afterwards that it ran.", "start", self._grown),
            ("revert", "Scratch is dropped, and the twig reads the same.", "start", self._revert),
            layers[4],
        ]

    def _tried(self, key: str, claim: str, needs: str, check: Callable[[], str]) -> Check:
        def after() -> str:
            if needs and needs not in self._done:
                raise NotTried(f"it needs: {needs}")
            said = check()
            self._done.add(key)
            return said

        return tried(key, claim, after, self._secrets, numbered("hotadd", key))

    def _secrets(self) -> Mapping[str, str]:
        if self._link is None:
            return {}
        account, wishes = self._link.account, self._link.wishes
        told = {
            account.host: "HOST",
            account.user: "USER",
            account.target: "TARGET",
            wishes.place: "PLACE",
            wishes.datastore: "DATASTORE",
            wishes.production: "PRODUCTION",
            wishes.isolated: "ISOLATED",
            str(self._store.path): "OWN-FOLDER",
        }
        return {text: word for text, word in told.items() if text}

    # --- the host --------------------------------------------------------------------------

    def _version(self) -> str:
        if self._link is None:
            raise NotTried("it needs: a host")
        about = self._link.connect().session.content.about
        return f"{about.fullName}; API {about.apiVersion}"

    def _preflight(self) -> str:
        found = self._hosting().preflight()
        bad = [one for one in found if one.gravity is Gravity.ERROR]
        if bad:
            # Keys only: their sentences name whatever the site has.
            raise Unlike(f"{', '.join(one.key for one in bad)}; see: bootpoint target check")
        told = [one.key for one in found if one.gravity is Gravity.WARNING]
        return f"warnings: {', '.join(told) or 'none'}"

    def _hosting(self) -> HotaddHypervisor:
        if self._target is None:
            raise NotTried("it needs: a host")
        return self._target

    def _start(self) -> str:
        target = self._hosting()
        self._chain.add(_RUN, _TWIG, LayerKind.SCRATCH, [_SIZE])
        target.create(_SPEC)
        target.arm(VMRef(NAME), _RUN)
        if target.started_by_hand(VMRef(NAME)) is not None:
            raise Unlike("an armed VM looks as if it was started, and it was not")
        target.power_on(VMRef(NAME), _RUN, Network.ISOLATED)
        power = target.signs_of_life(VMRef(NAME)).power
        target.power_off(VMRef(NAME), grace=0)
        if power is not Power.ON:
            raise Unlike("it does not run after its start")
        return "it ran"

    def _grown(self) -> str:
        changed = list(self._chain.changed(_RUN, 0))
        if not changed:
            raise Unlike("by the sizes of its files nobody can tell that it ran")
        return f"{sum(one.length for one in changed)} bytes count as written"

    def _revert(self) -> str:
        self._chain.drop(_RUN)
        return self._reads(_TWIG, {**_BASE, 0: b"twig"})

    # --- the layers ------------------------------------------------------------------------

    def _seed(self) -> str:
        self._chain.add(_SEED, None, LayerKind.REPLICA, [_SIZE])
        self._write(_SEED, _BASE)
        return f"{self._reads(_SEED, _BASE)}; {self._chain.attached()}"

    def _seal(self) -> str:
        self._sealed(_SEED, None)
        return f"{self._reads(_SEED, _BASE)}; {self._chain.attached()}"

    def _twig(self) -> str:
        self._chain.add(_TWIG, _SEED, LayerKind.CONVERSION, [_SIZE])
        self._write(_TWIG, {0: b"twig"})
        self._sealed(_TWIG, _SEED)
        self._reads(_TWIG, {**_BASE, 0: b"twig"})
        return self._reads(_SEED, _BASE)

    def _trunk(self) -> str:
        before = self._file()
        self._chain.add(_NEXT, _SEED, LayerKind.REPLICA, [_SIZE])
        after = self._file()
        self._write(_NEXT, {20 * _MIB: b"next" * 1024})
        self._sealed(_NEXT, _SEED)
        self._reads(_SEED, _BASE)
        said = self._reads(_NEXT, {**_BASE, 20 * _MIB: b"next" * 1024})
        return f"{said}; the leaf was {before}, and is {after} after the revert"

    def _file(self) -> str:
        """Return the name of the leaf's file."""
        return self._chain.ready().disks[0].path.rpartition("/")[2]

    def _retire(self) -> str:
        self._chain.drop(_TWIG)
        self._chain.fold(_SEED, NeverCancelled())
        return self._reads(_NEXT, {**_BASE, 20 * _MIB: b"next" * 1024})

    def _write(self, layer: LayerName, what: Bytes) -> None:
        with self._chain.open(layer, 0) as disk:
            for offset, data in what.items():
                disk.write(offset, memoryview(data))
            disk.flush()
            disk.evict()

    def _reads(self, layer: LayerName, what: Bytes) -> str:
        with self._chain.open(layer, 0) as disk:
            for offset, data in what.items():
                back = bytearray(len(data))
                disk.read(offset, memoryview(back))
                if bytes(back) != data:
                    raise Unlike(f"at byte {offset} of {layer} lies something else")
        return "every byte as it was written"

    def _sealed(self, layer: LayerName, parent: LayerName | None) -> None:
        kind = self._chain.layers()[layer].kind
        self._chain.seal(
            layer,
            LayerManifest(
                layer,
                parent,
                kind,
                NAME,
                NAME,
                "",
                "",
                NAME,
                "",
                1,
                _WHEN,
                _WHEN,
                [DiskManifest(_SIZE)],
            ),
        )

    def _clear(self) -> None:
        """Delete what this or an earlier run left; only what has our marks."""
        if self._target is not None:
            self._target.power_off(VMRef(NAME), grace=0)
        for layer in (_RUN, _TWIG, _NEXT, _SEED):
            with contextlib.suppress(Failure):
                self._chain.drop(layer)
        if _SEED in self._chain.layers():  # the next layer still lies on it
            self._chain.drop(_NEXT)
            self._chain.drop(_SEED)
        if self._target is not None:
            self._target.delete(VMRef(NAME))
