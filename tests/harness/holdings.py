"""What calls have made, by answers alone: things with a life of their own, and what has them.

A part of Answers (answers.py), which says when a call was answered and when an account has to be
read anew. ``invariants/holdings`` compares with the database.
"""

from tests.harness.customers import Call
from tests.harness.records import Records

# What makes and what removes: service, method -> table, the id's name in request or answer.
CREATED = {
    ("Volumes", "Create"): ("volume", "volume_id"),
    ("Snapshots", "Create"): ("snapshot", "snapshot_id"),
    ("Images", "Create"): ("image", "image_id"),
    ("Images", "Register"): ("image", "image_id"),
    ("Networks", "CreateVpc"): ("vpc", "vpc_id"),
    ("Networks", "CreateSubnet"): ("subnet", "subnet_id"),
    ("Networks", "CreateInternetGateway"): ("internet_gateway", "internet_gateway_id"),
    ("Networks", "CreateRouteTable"): ("route_table", "route_table_id"),
    ("NetworkInterfaces", "Create"): ("network_interface", "network_interface_id"),
}
DELETED = {
    ("Volumes", "Delete"): ("volume", "volume_id"),
    ("Snapshots", "Delete"): ("snapshot", "snapshot_id"),
    ("Images", "Deregister"): ("image", "image_id"),
    ("Networks", "DeleteVpc"): ("vpc", "vpc_id"),
    ("Networks", "DeleteSubnet"): ("subnet", "subnet_id"),
    ("Networks", "DeleteInternetGateway"): ("internet_gateway", "internet_gateway_id"),
    ("Networks", "DeleteRouteTable"): ("route_table", "route_table_id"),
    ("NetworkInterfaces", "Delete"): ("network_interface", "network_interface_id"),
}
# How rows look that a call of their own made, and that are not to go.
PRESENT = {
    "volume": "SELECT volume_id AS id, account_id FROM volume"
    " WHERE request_digest <> '' AND desired = 'present'",
    "snapshot": "SELECT snapshot_id AS id, account_id FROM snapshot WHERE status <> 'deleting'",
    "image": "SELECT image_id AS id, account_id FROM image"
    " WHERE disk_format = 'blocks' AND status NOT IN ('pending_delete', 'deleted')",
    "vpc": "SELECT vpc_id AS id, account_id FROM vpc",
    "subnet": "SELECT subnet_id AS id, account_id FROM subnet",
    "internet_gateway": "SELECT internet_gateway_id AS id, account_id FROM internet_gateway",
    "route_table": "SELECT route_table_id AS id, account_id FROM route_table"
    " WHERE request_digest <> ''",
    "network_interface": "SELECT network_interface_id AS id, account_id FROM network_interface"
    " WHERE request_digest <> ''",
}


class Holdings:
    """See the module's head."""

    def __init__(self, records: Records):
        self.made: dict[str, dict[str, str]] = {table: {} for table in PRESENT}  # id -> account
        self.attached: dict[str, str | None] = {}  # volume -> instance; None: to be let go
        self.off: dict[str, str] = {}  # image -> the instance that was to be off for it
        self.forced: set[str] = set()  # interfaces that were detached without asking the guest
        self._unsure: set[str] = set()  # interfaces that may go with an instance
        self._deleted: set[str] = set()  # whose deletion was answered
        self._records = records

    def asked(self, call: Call) -> None:
        """Before it is known what becomes of it."""
        if call.method == "Detach" and call.service == "NetworkInterfaces" and call.request.force:
            self.forced |= {
                row["network_interface_id"]
                for row in self._records.table("held_interface")
                if row["attachment_id"] == call.request.attachment_id
            }

    def answered(self, account_id: str, call: Call, answer) -> None:
        name = (call.service, call.method)
        if name == ("Images", "Create"):
            for disk in answer.block_devices:
                if disk.snapshot_id in self.present("snapshot"):
                    self.made["snapshot"].setdefault(disk.snapshot_id, account_id)
            if not call.request.no_reboot:
                self.off[answer.image_id] = call.request.instance_id
        elif name == ("Images", "Deregister"):
            for each in answer.snapshots:
                if each.result == "success":
                    self.made["snapshot"].pop(each.snapshot_id, None)
        if name in CREATED:
            table, key = CREATED[name]
            made = getattr(answer, key)
            if made not in self._unsure | self._deleted:  # else told of again by its token
                self.made[table][made] = account_id
        elif name in DELETED:
            table, key = DELETED[name]
            self._deleted.add(getattr(call.request, key))
            self.made[table].pop(getattr(call.request, key), None)
            self.attached.pop(getattr(call.request, key), None)
        elif name == ("NetworkInterfaces", "ModifyAttribute"):
            self._unsure.add(call.request.network_interface_id)
            self.made["network_interface"].pop(call.request.network_interface_id, None)
        elif name == ("Volumes", "Attach"):
            self.attached[answer.volume_id] = answer.instance_id
        elif name == ("Volumes", "Detach"):
            self.attached[answer.volume_id] = None

    def present(self, table: str) -> dict[str, str]:
        """Of the table, by their ids the accounts of what must have been asked for."""
        return {
            row["id"]: row["account_id"]
            for row in self._records.rows(PRESENT[table])
            if row["id"] not in self._unsure
        }

    def adopt(self, account_id: str) -> None:
        """Takes what the database says of an account for what was promised."""
        for table, made in self.made.items():
            present = self.present(table)
            others = {name: owner for name, owner in made.items() if owner != account_id}
            own = {name: owner for name, owner in present.items() if owner == account_id}
            self.made[table] = others | own
        for row in self._records.table("held_volume"):
            if row["account_id"] == account_id:
                self.attached.pop(row["volume_id"], None)
