"""Ledgers of agents before 0.2 become today's (docs/decisions/0003).

Those of version 1 had a table for each kind, and the host's generations in place of revisions;
those of version 2 called the status check "reach".
"""

import json
import sqlite3

from protos.cloud.v1 import fleet_pb2

_Specs = type[
    fleet_pb2.InstanceSpec | fleet_pb2.VpcSpec | fleet_pb2.VolumeSpec | fleet_pb2.SnapshotSpec
]
# table -> (its key, kind, role, specification)
_TABLES: dict[str, tuple[str, str, str, _Specs]] = {
    "instance": ("instance_id", "instance", "guest", fleet_pb2.InstanceSpec),
    "vpc": ("vpc_id", "vpc", "network", fleet_pb2.VpcSpec),
    "volume": ("id", "volume", "home", fleet_pb2.VolumeSpec),
    "snapshot": ("id", "snapshot", "home", fleet_pb2.SnapshotSpec),
}
_RENAMED = {
    "generation": "revision",
    "devices_generation": "devices_revision",
    "network_generation": "network_revision",
    "reach": "status_check",
    "reach_since_ms": "status_check_since_ms",
}


def migrate(db: sqlite3.Connection) -> None:
    """Within a transaction of the caller's. A generation becomes a revision, and the host's its
    position: both only have to be what the controller makes of them as well."""
    for kind, name, role, text in db.execute(
        "SELECT kind, id, role, progress FROM assignment"
    ).fetchall():
        now = (_renamed(text), kind, name, role)
        db.execute("UPDATE assignment SET progress = ? WHERE kind = ? AND id = ? AND role = ?", now)
    there = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for table, (key, kind, role, spec_type) in _TABLES.items():
        if table not in there:
            continue  # of an agent that did not know this kind yet
        progress = "'{}'" if table == "vpc" else "progress"
        for name, old, text in db.execute(f"SELECT {key}, spec, {progress} FROM {table}"):
            spec = spec_type.FromString(old)
            revision = spec.generation
            spec.ClearField("generation")
            row = (kind, name, role, revision, spec.SerializeToString(), _renamed(text))
            db.execute("INSERT INTO assignment VALUES (?, ?, ?, ?, ?, ?)", row)
        db.execute(f"DROP TABLE {table}")
    db.execute("UPDATE host SET key = 'position' WHERE key = 'generation'")


def _renamed(progress: str) -> str:
    return json.dumps(
        {_RENAMED.get(key, key): value for key, value in json.loads(progress).items()}
    )
