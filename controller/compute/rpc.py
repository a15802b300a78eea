"""The Instances service: each method hands on to the module that knows."""

from typing import NamedTuple

from controller.compute.instances import credits, metadata_options, monitoring
from controller.compute.instances.attributes import Attributes
from controller.compute.instances.describe import Describer
from controller.compute.instances.rules import InstanceRules, StateChange
from controller.compute.launch.run import Launcher
from controller.compute.types.describe import Types
from controller.hosts.delivery import Agents
from controller.hosts.feed import Feed
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.lookup import check_ids, not_found
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Host
from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2

CONSOLE_BYTES = 64 * 1024


class HostRow(NamedTuple):
    host_id: str
    endpoint: str


class InstancesServicer:
    def __init__(
        self,
        db: Database,
        launcher: Launcher,
        describer: Describer,
        rules: InstanceRules,
        attributes: Attributes,
        types: Types,
        feed: Feed,
        agents: Agents,
        console_timeout_s: float,
    ):
        self._db, self._launcher, self._describer, self._rules = db, launcher, describer, rules
        self._attributes, self._types, self._feed = attributes, types, feed
        self._agents, self._console_timeout_s = agents, console_timeout_s

    def Run(
        self, request: instances_pb2.RunInstancesRequest, call: Call
    ) -> instances_pb2.Reservation:
        return self._launcher.run(call, request)

    def Describe(
        self, request: instances_pb2.DescribeInstancesRequest, call: Call
    ) -> instances_pb2.DescribeInstancesResponse:
        return self._describer.describe(call, request)

    def DescribeStatus(
        self, request: instances_pb2.DescribeInstanceStatusRequest, call: Call
    ) -> instances_pb2.DescribeInstanceStatusResponse:
        return self._describer.statuses(call, request)

    def Start(
        self, request: instances_pb2.InstancesRequest, call: Call
    ) -> instances_pb2.InstanceStateChanges:
        return _changes(self._rules.start(call, request.instance_ids))

    def Stop(
        self, request: instances_pb2.StopInstancesRequest, call: Call
    ) -> instances_pb2.InstanceStateChanges:
        return _changes(self._rules.stop(call, request.instance_ids, request.force))

    def Reboot(self, request: instances_pb2.InstancesRequest, call: Call) -> common_pb2.Empty:
        self._rules.reboot(call, request.instance_ids)
        return common_pb2.Empty()

    def Terminate(
        self, request: instances_pb2.InstancesRequest, call: Call
    ) -> instances_pb2.InstanceStateChanges:
        return _changes(self._rules.terminate(call, request.instance_ids))

    def DescribeAttributes(
        self, request: instances_pb2.InstanceRequest, call: Call
    ) -> instances_pb2.InstanceAttributes:
        return self._describer.attributes(call, request.instance_id)

    def ModifyAttribute(
        self, request: instances_pb2.ModifyInstanceAttributeRequest, call: Call
    ) -> common_pb2.Empty:
        self._attributes.modify(call, request)
        return common_pb2.Empty()

    def ResetAttribute(
        self, request: instances_pb2.InstanceRequest, call: Call
    ) -> common_pb2.Empty:
        made_so = instances_pb2.ModifyInstanceAttributeRequest(
            instance_id=request.instance_id, source_dest_check=True
        )
        return self.ModifyAttribute(made_so, call)

    def Monitor(
        self, request: instances_pb2.InstancesRequest, call: Call
    ) -> instances_pb2.InstanceMonitorings:
        ids = request.instance_ids
        return monitoring.set_monitoring(self._db, self._feed, call, ids, True)

    def Unmonitor(
        self, request: instances_pb2.InstancesRequest, call: Call
    ) -> instances_pb2.InstanceMonitorings:
        ids = request.instance_ids
        return monitoring.set_monitoring(self._db, self._feed, call, ids, False)

    def ModifyMetadataOptions(
        self, request: instances_pb2.ModifyMetadataOptionsRequest, call: Call
    ) -> instances_pb2.MetadataOptions:
        return metadata_options.modify(self._db, self._feed, call, request)

    def GetPasswordData(
        self, request: instances_pb2.InstanceRequest, call: Call
    ) -> instances_pb2.PasswordData:
        """No guest here hands out a password: it is empty since the launch."""
        launched = self._describer.attributes(call, request.instance_id).instance.launch_time_ms
        return instances_pb2.PasswordData(instance_id=request.instance_id, timestamp_ms=launched)

    def GetConsoleOutput(
        self, request: instances_pb2.InstanceRequest, call: Call
    ) -> instances_pb2.ConsoleOutput:
        """Read from the host at the time of the call; nothing where the instance is nowhere any
        more."""
        instance_id = request.instance_id
        check_ids("instance", [instance_id])
        with self._db.read(call) as session:
            found = session.exists(
                Instance.select(Instance.instance_id).where(
                    Instance.instance_id == instance_id, Instance.account_id == call.account_id
                )
            )
            session.authorize("instance", [instance_id] if found else [])
            host = session.one(
                Placement.select(Host.host_id, Host.endpoint)
                .join(Host, on=Host.host_id == Placement.host_id)
                .where(Placement.instance_id == instance_id, Placement.live),
                HostRow,
            )
        if not found:
            raise not_found("instance", instance_id)
        if host is None or not host.endpoint:
            return instances_pb2.ConsoleOutput(instance_id=instance_id, timestamp_ms=call.now_ms)
        answer = self._agents(host.host_id, host.endpoint).ReadConsole(
            fleet_pb2.ReadConsoleRequest(
                host_id=host.host_id, instance_id=instance_id, max_bytes=CONSOLE_BYTES
            ),
            timeout_s=self._console_timeout_s,
        )
        return instances_pb2.ConsoleOutput(
            instance_id=instance_id,
            output=answer.output[-CONSOLE_BYTES:],
            timestamp_ms=answer.timestamp_ms or call.now_ms,
        )

    def DescribeCreditSpecifications(
        self, request: instances_pb2.DescribeCreditSpecificationsRequest, call: Call
    ) -> instances_pb2.DescribeCreditSpecificationsResponse:
        return credits.describe(self._db, call, request)

    def ModifyCreditSpecifications(
        self, request: instances_pb2.ModifyCreditSpecificationsRequest, call: Call
    ) -> instances_pb2.ModifyCreditSpecificationsResponse:
        return credits.modify(self._db, call, request)

    def DescribeTypes(
        self, request: instances_pb2.DescribeInstanceTypesRequest, call: Call
    ) -> instances_pb2.DescribeInstanceTypesResponse:
        return self._types.describe(call, request)

    def DescribeTypeOfferings(
        self, request: instances_pb2.DescribeInstanceTypeOfferingsRequest, call: Call
    ) -> instances_pb2.DescribeInstanceTypeOfferingsResponse:
        return self._types.offerings(call, request)


def _changes(changes: list[StateChange]) -> instances_pb2.InstanceStateChanges:
    return instances_pb2.InstanceStateChanges(
        changes=[
            instances_pb2.InstanceStateChange(
                instance_id=one.instance_id,
                previous_state=one.previous,
                current_state=one.current,
            )
            for one in changes
        ]
    )
