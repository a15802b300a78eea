"""All tables of the controller, a file for each district beside this one.

Imported by rules and views, which hand queries to a session (``kernel/database.py``): the models
here are bound to no database, so that two databases can live in one process. Nothing here has
behaviour.

Reading aid. Times are milliseconds since the epoch. Text is never NULL, '' means "not said"; NULL
stands only where "none" must be told from every value, or where a unique index or a foreign key
must not count it. Primary keys are EC2's ids. Three columns have one owner each: instance.desired
(compute/instances/rules), assignment.observed (hosts/reports), host.health (reconcile). What a
column's words mean is said where its owner lives. Revisions and positions: docs/decisions/0003.
"""

from controller.kernel.table import Table
from controller.tables import compute, hosts, identity, network, storage

# Unique or small indexes over some rows only; the same words on SQLite and PostgreSQL.
PARTIAL_INDEXES = (
    "CREATE UNIQUE INDEX placement_one_live ON placement (instance_id) WHERE live",
    "CREATE INDEX assignment_ended ON assignment (observed, resource_id) WHERE kind = 'instance'"
    " AND observed IN ('exited', 'failed', 'absent', 'stopped')",
    "CREATE UNIQUE INDEX instance_client_token ON instance"
    " (account_id, client_token, ami_launch_index) WHERE client_token <> ''",
    "CREATE UNIQUE INDEX volume_client_token ON volume (account_id, client_token)"
    " WHERE client_token <> ''",
    "CREATE INDEX attachment_going ON attachment (device_id) WHERE detaching",
    "CREATE INDEX attachment_failed ON attachment (device_id) WHERE failed",
    "CREATE INDEX volume_deleted ON volume (volume_id) WHERE desired = 'deleted'",
    "CREATE INDEX volume_modifying ON volume_modification (volume_id) WHERE state = 'modifying'",
    "CREATE INDEX instance_terminated ON instance (terminated_ms) WHERE terminated_ms IS NOT NULL",
    "CREATE UNIQUE INDEX network_interface_client_token ON network_interface"
    " (account_id, client_token) WHERE client_token <> ''",
    "CREATE UNIQUE INDEX vpc_one_default ON vpc (account_id) WHERE is_default",
    "CREATE UNIQUE INDEX image_name ON image (account_id, name)"
    " WHERE status IN ('queued', 'saving', 'snapshotting', 'active')",
    "CREATE UNIQUE INDEX vpc_one_main_route_table ON route_table_association (vpc_id) WHERE main",
    "CREATE UNIQUE INDEX route_table_client_token ON route_table (account_id, client_token)"
    " WHERE client_token <> ''",
    "CREATE UNIQUE INDEX dhcp_options_one_default ON dhcp_options (account_id) WHERE is_default",
    "CREATE INDEX join_token_expires ON join_token (expires_ms)",
)

# In the order in which they can be made: a file's refer to its own above and to files before it.
TABLES: tuple[type[Table], ...] = tuple(
    found
    for file in (identity, hosts, network, storage, compute)
    for found in vars(file).values()
    if isinstance(found, type) and issubclass(found, Table) and found.__module__ == file.__name__
)
