"""The ways to the controller: its socket where it is on this machine, gRPC for all the rest.

    controller = Controller(address, tls, socket, timeout_s)
    controller.clients.key_pairs.Describe(request, caller=...);  controller.close()

Called by gateway/server, in each of its processes.
"""

import threading
from pathlib import Path

import grpc

from gateway.call import Clients
from protos import rpc, unix_socket


class Controller:
    """``address`` is gRPC's, ``socket`` the path of a Unix socket or None."""

    def __init__(self, address: str, tls: rpc.TlsFiles, socket: Path | None, timeout_s: float):
        self._address, self._tls, self._timeout_s = address, tls, timeout_s
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._connections = unix_socket.Connections(socket) if socket is not None else None
        if self._connections is None:
            self.clients = self.by_grpc()
        else:
            self.clients = Clients.over_socket(self._connections, self.by_grpc, timeout_s)

    def by_grpc(self) -> Clients:
        """Over a channel that is made when first wanted: its threads are some MB in a process that
        only calls the socket."""
        with self._lock:
            if self._channel is None:
                self._channel = rpc.connect(self._address, self._tls, "controller")
                self._clients = Clients.over(self._channel, self._timeout_s)
            return self._clients

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        if self._connections is not None:
            self._connections.close()
