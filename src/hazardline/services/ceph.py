"""An S3 server on this machine: Ceph's gateway (RGW) over one monitor and one object store in a file.

Everything speaks on the loopback with keys (cephx), so that no other user of the machine gets past the gateway's own
accounts. There is one copy of everything: backups are what protects it (`hazardline services backup`).
"""

import json
import shutil
import uuid
from collections.abc import Callable

from hazardline.errors import UserError
from hazardline.services.daemon import Daemon, NotReadyError, is_listening, run_command
from hazardline.services.installation import Installation, S3Keys, Settings

_TOOLS = ("ceph-mon", "ceph-osd", "radosgw", "ceph", "ceph-authtool", "monmaptool", "radosgw-admin")
_CREATED = "created"
"""A file that is there once the store has been made whole."""
_CONFIGURATION = """[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{monitor_port}]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {folder}/$name.keyring
run dir = {folder}
admin socket =
log file = {logs}/$name.log
log to stderr = false
err to stderr = true
mon cluster log file = {logs}/ceph.log
debug rocksdb = 0/0
debug bluestore = 0/0
debug osd = 0/0
mon data = {folder}/mon
mon allow pool size one = true
mon max pg per osd = 1000
osd data = {folder}/osd
osd objectstore = bluestore
osd memory target = 939524096
osd heartbeat grace = 5
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
bluestore block create = true
bluestore block size = {size_bytes}
rgw data = {folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:{s3_port}
"""


class Ceph:
    """The three processes of the store, and its accounts."""

    name = "s3"

    def __init__(self, installation: Installation, settings: Settings) -> None:
        """Refer to a store, which need not exist."""
        self._installation = installation
        self._settings = settings
        self._folder = installation.folder / "ceph"
        self._conf = self._folder / "ceph.conf"
        self._monitor = self._daemon("mon.a", "ceph-mon", "-i", "a")
        self._store = self._daemon("osd.0", "ceph-osd", "-i", "0")
        self._gateway = self._daemon("client.rgw", "radosgw", "-n", "client.rgw")

    def start(self, timeout_s: float) -> None:
        """Make the store where there is none, and start what does not run.

        Raises:
            UserError: Ceph is missing, or a process does not come up.
        """
        _check_tools()
        if not (self._folder / _CREATED).exists():
            self._create(timeout_s)
        self._configure(self._fsid())
        self._start(self._monitor, self._check_monitor, timeout_s, self._settings.ceph_port)
        if self._store.process() is None:
            # The monitor takes a killed store for a living one, and the gateway would wait for it for half a minute.
            self._ceph("osd", "down", "osd.0")
        self._start(self._store, self._check_store, timeout_s)
        self._start(self._gateway, self.check, timeout_s, self._settings.s3_port)

    def stop(self) -> None:
        """End all three, the gateway first."""
        for daemon in (self._gateway, self._store, self._monitor):
            daemon.stop()

    def is_running(self) -> bool:
        """Whether all three processes live."""
        return all(daemon.process() for daemon in (self._monitor, self._store, self._gateway))

    def check(self) -> None:
        """Ask for an answer.

        Raises:
            NotReadyError: a process is gone, or nobody listens.
        """
        gone = [d.name for d in (self._monitor, self._store, self._gateway) if d.process() is None]
        if gone:
            raise NotReadyError(f"{', '.join(gone)} does not run")
        if not is_listening(self._settings.s3_port):
            raise NotReadyError(f"nobody listens on port {self._settings.s3_port}")

    def keys(self, account: str) -> S3Keys:
        """The key of an account, which is made where it is missing."""
        users = json.loads(self._admin("user", "list"))
        made = ["user", "create", "--display-name", account] if account not in users else ["user", "info"]
        return _newest_key(self._admin(*made, "--uid", account))

    def add_keys(self, account: str) -> S3Keys:
        """A further key of an account; the old ones hold until `drop_keys`."""
        before = _keys(self._admin("user", "info", "--uid", account))
        how = ["--key-type", "s3", "--gen-access-key", "--gen-secret"]
        after = _keys(self._admin("key", "create", "--uid", account, *how))
        (new,) = [key for key in after if key not in before]
        return new

    def drop_keys(self, account: str, but: S3Keys) -> None:
        """Take all keys of an account away but one."""
        for key in _keys(self._admin("user", "info", "--uid", account)):
            if key != but:
                self._admin("key", "rm", "--uid", account, "--key-type", "s3", "--access-key", key.access_key)

    def _create(self, timeout_s: float) -> None:
        """Make monitor and store. What an attempt that was cut off has left is removed: nobody has used it yet."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._installation.part("ceph")
        for name in ("mon", "osd", "rgw"):
            self._installation.part(f"ceph/{name}")
        fsid = str(uuid.uuid4())
        self._configure(fsid)
        keyring, administrator = self._folder / "mon.keyring", self._folder / "client.admin.keyring"
        all_rights = ["--cap", "mon", "allow *", "--cap", "osd", "allow *"]
        self._run("ceph-authtool", "-C", str(administrator), "--gen-key", "-n", "client.admin", *all_rights)
        self._run("ceph-authtool", "-C", str(keyring), "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        self._run("ceph-authtool", str(keyring), "--import-keyring", str(administrator))
        place, monmap = f"[v2:127.0.0.1:{self._settings.ceph_port}]", str(self._folder / "monmap")
        self._run("monmaptool", "--create", "--addv", "a", place, "--fsid", fsid, monmap)
        self._run("ceph-mon", *self._where(), "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", str(keyring))
        self._start(self._monitor, self._check_monitor, timeout_s, self._settings.ceph_port)
        store = str(uuid.uuid4())
        self._ceph("osd", "new", store, "0")
        self._run("ceph-osd", *self._where(), "-i", "0", "--mkfs", "--mkkey", "--osd-uuid", store, "--no-mon-config")
        rights = ["mon", "allow profile osd", "osd", "allow *"]
        self._ceph("auth", "add", "osd.0", *rights, "-i", str(self._folder / "osd.0.keyring"))
        gateway = str(self._folder / "client.rgw.keyring")
        self._ceph("auth", "get-or-create", "client.rgw", "mon", "allow rw", "osd", "allow rwx", "-o", gateway)
        (self._folder / _CREATED).write_text(f"{fsid}\n")

    def _configure(self, fsid: str) -> None:
        self._conf.write_text(
            _CONFIGURATION.format(
                fsid=fsid,
                folder=self._folder,
                logs=self._installation.folder / "logs",
                monitor_port=self._settings.ceph_port,
                s3_port=self._settings.s3_port,
                size_bytes=self._settings.s3_gb * 10**9,
            )
        )

    def _fsid(self) -> str:
        return (self._folder / _CREATED).read_text().strip()

    def _start(self, daemon: Daemon, check: Callable[[], None], timeout_s: float, port: int | None = None) -> None:
        if daemon.process() is None or daemon.is_outdated():
            daemon.start(port)
        daemon.wait_until_ready(check, timeout_s)

    def _check_monitor(self) -> None:
        try:
            self._ceph("mon", "stat")
        except UserError as error:
            raise NotReadyError(str(error)) from None

    def _check_store(self) -> None:
        try:
            is_up = json.loads(self._ceph("osd", "stat", "--format", "json"))["num_up_osds"] == 1
        except UserError as error:
            raise NotReadyError(str(error)) from None
        if not is_up:
            raise NotReadyError("the monitor has not heard of it yet")

    def _daemon(self, name: str, *command: str) -> Daemon:
        return Daemon(self._installation, name, [command[0], *self._where(), "-f", *command[1:]])

    def _where(self) -> list[str]:
        return ["--conf", str(self._conf)]

    def _ceph(self, *arguments: str) -> str:
        return self._run("ceph", *self._where(), "--connect-timeout", "10", *arguments)

    def _admin(self, *arguments: str) -> str:
        return self._run("radosgw-admin", *self._where(), *arguments)

    def _run(self, *command: str) -> str:
        return run_command(list(command), what="s3")


def missing_tools() -> list[str]:
    """What of Ceph is not installed."""
    return [name for name in _TOOLS if shutil.which(name) is None]


def _check_tools() -> None:
    if missing := missing_tools():
        raise UserError(
            f"the S3 server of this machine is Ceph's, and {', '.join(missing)} was not found (on Debian: apt-get "
            "install --no-install-recommends ceph-mon ceph-osd radosgw); or use your own S3 server: set "
            "HAZARDLINE_S3_ENDPOINT, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def _keys(said: str) -> list[S3Keys]:
    keys = json.loads(said)["keys"]
    return [S3Keys(access_key=key["access_key"], secret_key=key["secret_key"]) for key in keys]


def _newest_key(said: str) -> S3Keys:
    return _keys(said)[-1]
