"""The HostAgent service over gRPC, for the controller only.

Apply is durable before it answers and does not wait for the work. Called by protos.rpc.
"""

from pathlib import Path

from hostagent.compute.console import read_tail
from hostagent.kernel.agent import Agent
from hostagent.ledger import HostLedger
from protos.cloud.v1 import fleet_pb2, fleet_pb2_grpc
from protos.errors import CloudError, Kind
from protos.rpc import CallContext, Caller


class HostAgent(fleet_pb2_grpc.HostAgentServicer):
    """See the module's head. ``console_bytes`` bounds what one call reads."""

    def __init__(self, agent: Agent, ledger: HostLedger, consoles: Path, console_bytes: int):
        self._agent, self._ledger = agent, ledger
        self._consoles, self._console_bytes = consoles, console_bytes

    def Apply(self, request: fleet_pb2.HostSpec, context: CallContext) -> fleet_pb2.HostReport:
        return self._agent.apply(request)

    def ReadConsole(
        self, request: fleet_pb2.ReadConsoleRequest, context: CallContext
    ) -> fleet_pb2.ReadConsoleResponse:
        if request.host_id not in ("", self._ledger.host_id):
            raise CloudError(
                Kind.INVALID,
                f"This is host {self._ledger.host_id}, not {request.host_id}.",
                noun="host",
                id=request.host_id,
                reason="wrong-host",
            )
        if self._ledger.instances.get(request.instance_id) is None:
            raise CloudError(
                Kind.NOT_FOUND,
                f"The instance ID '{request.instance_id}' does not exist on this host.",
                noun="instance",
                id=request.instance_id,
            )
        most = min(request.max_bytes or self._console_bytes, self._console_bytes)
        output, written_ms = read_tail(self._consoles, request.instance_id, max(0, most))
        return fleet_pb2.ReadConsoleResponse(output=output, timestamp_ms=written_ms)


def guard(method: str, request: object, peer: str, caller: Caller) -> None:
    """Only the controller tells a host what to do."""
    if peer != "controller":
        raise CloudError(
            Kind.DENIED, f"{peer or 'An unknown caller'} may not call {method}.", because=caller
        )
