"""A real NFS server for a folder, in namespaces of its own, with a client beside it.

Nothing of it is seen outside: network, process ids and `/run` (rpcbind's socket crosses network
namespaces) are private, and all of it ends with the command.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

_CONFIG = """
NFS_CORE_PARAM {{ NFS_Port = 2049; MNT_Port = 20048; NLM_Port = 32803; Protocols = 3;
    Enable_UDP = false; Enable_RQUOTA = false; mount_path_pseudo = false;
    allow_set_io_flusher_fail = true; }}
NFSv4 {{ Graceless = true; RecoveryRoot = {folder}/state; }}
EXPORT {{ Export_Id = 10; Path = {share}; Pseudo = /bp; Protocols = 3; SecType = sys;
    Transports = TCP; Access_Type = None; FSAL {{ Name = VFS; }}
    CLIENT {{ Clients = {clients}; Access_Type = RW; Squash = No_Root_Squash; }} }}
"""
_SERVE = """
mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/rpcbind /run/ganesha
ip link set lo up
rpcbind -f & sleep 0.5
ganesha.nfsd -F -f "$0/ganesha.conf" -L "$0/ganesha.log" -p /run/ganesha.pid &
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
for _ in $(seq 120); do
    if answers 20048 && answers 2049; then break; fi
    sleep 0.25
done
exec "$@"
"""


def disk(path: Path) -> str:
    """Return a raw disk on the server as QEMU's own NFS client opens it."""
    server = {"type": "inet", "host": "127.0.0.1"}
    return "json:" + json.dumps(
        {"driver": "raw", "file": {"driver": "nfs", "server": server, "path": str(path)}}
    )


def beside_server(
    folder: Path, share: Path, *command: str, clients: str = "127.0.0.1"
) -> subprocess.CompletedProcess[str]:
    """Run a command where a server exports a folder, and nothing else, on 127.0.0.1.

    Args:
        folder: For the server's configuration and log.
        clients: Who may mount it.
    """
    (folder / "state").mkdir(exist_ok=True)
    (folder / "ganesha.conf").write_text(
        _CONFIG.format(folder=folder, share=share, clients=clients)
    )
    spaces = ["unshare", "-n", "-m", "-p", "-f", "--kill-child", "--mount-proc"]
    return subprocess.run(
        [*spaces, "bash", "-euc", _SERVE, str(folder), *command],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        stdin=subprocess.DEVNULL,
    )
