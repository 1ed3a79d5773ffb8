"""Whom a server runs as: Postgres refuses root, and initdb refuses a uid that has no name."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from worker.embedded import launch
from worker.errors import ServiceError

LAUNCH = (sys.executable, "-I", "-S", str(Path(launch.__file__).resolve()))
NOBODY = 65534  # what nearly every Linux calls nobody


@dataclass(frozen=True, slots=True)
class Identity:
    """How ``launch`` changes who the server is."""

    spec: str
    """``self``, ``namespace:UID`` or ``setuid:UID:GID``."""

    owner_uid: int
    """Whom the server's files must belong to, as seen from outside."""

    owner_gid: int


def ordinary_identity() -> Identity:
    """Return an identity that Postgres accepts: ours, or a stand-in when we are root or have no name.

    Raises:
        ServiceError: There is none: no user namespaces here and no way to change the uid.
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0 and _has_name(uid):
        return Identity("self", uid, gid)
    stand_in = _stand_in()
    namespaced = Identity(f"namespace:{stand_in.pw_uid}", uid, gid)
    if _works(namespaced):
        return namespaced
    if uid == 0:
        return Identity(f"setuid:{stand_in.pw_uid}:{stand_in.pw_gid}", stand_in.pw_uid, stand_in.pw_gid)
    raise ServiceError(
        f"uid {uid} has no entry in /etc/passwd, Postgres refuses to run so, and user namespaces are denied here; "
        f"add an entry for uid {uid}, run as a user that has one, or set DATABASE_URL to a Postgres of yours"
    )


def give(path: Path, identity: Identity) -> None:
    """Make everything under ``path`` belong to the identity, if it does not yet."""
    if path.stat().st_uid == identity.owner_uid:
        return
    for found in (path, *path.rglob("*")):
        os.chown(found, identity.owner_uid, identity.owner_gid, follow_symlinks=False)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _stand_in() -> pwd.struct_passwd:
    others = [entry for entry in pwd.getpwall() if entry.pw_uid not in {0, os.geteuid()}]
    if not others:
        raise ServiceError(
            "Postgres refuses to run as root and /etc/passwd names no other user; add one (such as nobody), "
            "or set DATABASE_URL to a Postgres of yours"
        )
    return next((entry for entry in others if entry.pw_uid == NOBODY), others[0])


def _works(identity: Identity) -> bool:
    trial = [*LAUNCH, str(os.getpid()), "9", identity.spec, sys.executable, "-I", "-S", "-c", ""]
    return (
        subprocess.run(trial, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        == 0
    )
