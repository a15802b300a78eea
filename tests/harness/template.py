"""A cloud's first hour, done once: the database that every simulated run starts from.

Schema, instance types, address pool, two customers and the operator, a public image, and hosts that
have joined. Made by calls to the controller where there are such calls, and copied for each run,
because a thousand runs need it a thousand times. Hosts are small and addresses few, so that runs
meet the ends of both.
"""

import functools
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controller import app
from controller.config import Config, InstancesConfig, NetworksConfig
from controller.identity.sealing import MasterKey
from controller.kernel.call import system_call
from controller.kernel.database import Database
from controller.kernel.sqlite import open_sqlite
from controller.storage.blocks.store import FolderBlocks
from controller.storage.images.store import FileStore
from controller.tables.hosts import Host
from controller.tables.migrations import migrate
from protos.cloud.v1 import fleet_pb2, images_pb2
from protos.ids import new_id
from protos.rpc import Caller, LocalClient
from tests.harness.event_queue import START_MS
from tests.harness.scratch import scratch_folder

CUSTOMERS = ("alice", "bob")
DISK = bytes(64 * 1024)  # of zeros: fake guests boot from anything


@dataclass(frozen=True)
class Template:
    """A folder with the database, and who is in it."""

    folder: Path
    accounts: dict[str, str]  # name -> account id
    operator_id: str
    image_id: str
    hosts: tuple[tuple[str, fleet_pb2.HostFacts], ...]

    def copy_to(self, folder: Path) -> Config:
        """A database and images of one's own. The configuration that goes with them."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return config_in(folder)


def config_in(folder: Path) -> Config:
    return Config(
        state_dir=folder,
        networks=NetworksConfig(public_pool="100.64.0.0/27"),
        instances=InstancesConfig(keep_terminated_ms=120_000),
        quotas={"public_images_per_account": 3},
    )


def build_app(
    config: Config,
    db: Database,
    clock: Callable[[], int],
    rng: random.Random,
    agents: Callable[[str, str], object],
    checkpoint: Callable[[str], None] = lambda name: None,
) -> app.App:
    """A controller as simulations have it: all is passed in, nothing is secret."""
    return app.build(
        config,
        db,
        clock=clock,
        monotonic=clock,
        rng=rng,
        agents=agents,
        master_key=MasterKey({0: bytes(32)}, rng),
        store=FileStore(config.image_dir, checkpoint),
        blocks=blocks_of(config, clock, checkpoint),
        checkpoint=checkpoint,
    )


def blocks_of(
    config: Config, clock: Callable[[], int], checkpoint: Callable[[str], None]
) -> FolderBlocks:
    return FolderBlocks(config.snapshot_dir, lambda: clock() / 1000, checkpoint)


@functools.cache
def template(hosts: int) -> Template:
    """The template for clouds of so many hosts."""
    folder, rng, call = scratch_folder(), random.Random("template"), system_call(START_MS - 60_000)
    config = config_in(folder)
    db = open_sqlite(config.database)
    migrate(db, call.now_ms)
    made = build_app(config, db, lambda: call.now_ms, rng, lambda *host: None)
    made.prepare(call)
    operator = made.operator_key(call)
    accounts = {name: made.identity.create_account(call, name)[0] for name in CUSTOMERS}
    image_id = _add_image(made, operator.account_id)
    joined = tuple(_add_host(db, call, rng, number) for number in range(1, hosts + 1))
    db.close()
    return Template(folder, accounts, operator.account_id, image_id, joined)


def _add_image(made: app.App, operator_id: str) -> str:
    """A small public image, uploaded and registered as an operator does."""
    images = LocalClient(made.servicers["Images"], "gateway", made.guard, "pileus.cloud.v1.Images")
    caller = Caller(request_id="template", account_id=operator_id, operator=True)
    message = images_pb2.UploadImageRequest
    pieces = [message(disk_format="raw", size_bytes=len(DISK)), message(chunk=DISK)]
    uploaded = images.Upload(iter(pieces), caller=caller)
    request = images_pb2.RegisterImageRequest(
        name="demo",
        image_location=uploaded.image_location,
        architecture="x86_64",
        root_device_name="/dev/xvda",
        public=True,
    )
    return images.Register(request, caller=caller).image_id


def _add_host(db: Database, call, rng: random.Random, number: int):
    """A host that has joined (its certificate would matter to TLS only) and not yet reported."""
    host_id = new_id("host", rng)
    row = {
        "host_id": host_id,
        "name": f"host-{number}",
        "availability_zone": "us-east-1a",
        "created_ms": call.now_ms,
    }
    with db.write(call) as tx:
        tx.insert(Host, [row])
    facts = fleet_pb2.HostFacts(
        name=row["name"],
        endpoint=f"{row['name']}:7711",
        volume_endpoint=f"{row['name']}:10809",
        availability_zone=row["availability_zone"],
        hypervisor="fake",
        vcpus=2,
        memory_mib=8192,
        disk_gib=120,
        architecture="x86_64",
        version="test",
    )
    return host_id, facts
