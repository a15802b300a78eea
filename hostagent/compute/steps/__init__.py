"""The steps of a bring-up, and their order. ``ensure`` looks before it acts and may be called again
after any cut; ``undo`` succeeds where there is nothing to undo.

    image      the base images' files are here      (undo: nothing; the cache forgets by itself)
    disks      the volumes' files                   (undo: those that end with the instance; at a
                                                     stop those that live from start to stop)
    network    the taps                             (undo: the taps; at the instance's end also
                                                     the VPC, where this was its last instance)
    domain     made paused, plugged into its VPC,   (undo: off and undefined)
               let go

The metadata service and DHCP know an instance as soon as its VPC is made: they need no step of
their own. Called by the worker only: forwards to bring up, backwards to take down.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hostagent.compute.console import console_path
from hostagent.compute.host import Drivers
from hostagent.network.drivers import Port
from hostagent.storage.drivers import Disk
from protos.cloud.v1 import fleet_pb2


@dataclass
class Context:
    """One walk over the steps for one instance; a step leaves here what later ones need."""

    spec: fleet_pb2.InstanceSpec
    on: Drivers
    alive: bool = False  # the domain runs already: only what is missing around it is made
    ending: bool = False  # torn down for good, not only stopped
    stopping: bool = False  # taken down because it should be, not to be started again by itself
    disks: list[Disk] = field(default_factory=list)
    ports: list[Port] = field(default_factory=list)

    @property
    def vpc_ids(self) -> list[str]:
        return sorted({nic.vpc_id for nic in self.spec.nics})

    @property
    def console(self) -> Path:
        return console_path(self.on.consoles, self.spec.instance_id)


class Step(Protocol):
    """What every step has."""

    name: str

    def ensure(self, ctx: Context) -> None: ...

    def undo(self, ctx: Context) -> None: ...
