"""The connection to libvirtd: made as soon as it is there, and made anew for ever.

    link = Connection(uri, begin, on_back)
    link.start(); link.stop()
    link.get()       the connection; raises Unavailable while libvirtd is away
    link.away()      why it is, in a few words; empty: it is there

``begin(connection)`` prepares each new connection before anybody uses it (events, what was
forgotten); it may raise libvirtError. ``on_back()`` is called, from a thread of its own, whenever
libvirtd is there again. Called by driver; thread-safe.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

import libvirt

from hostagent.compute.hypervisors.libvirt.errors import check_alive, translated
from hostagent.kernel.errors import DriverError, Unavailable
from protos.threads import vital

log = logging.getLogger(__name__)

FIRST_ANSWER_S = 10.0  # libvirtd may be there and hang
KEEPALIVE_S, KEEPALIVE_COUNT = 5, 3
RECONNECT_FIRST_S, RECONNECT_MOST_S = 0.1, 2.0


class Connection:
    """See the module's head."""

    def __init__(
        self,
        uri: str,
        begin: Callable[[libvirt.virConnect], None],
        on_back: Callable[[], None],
    ):
        self._uri, self._begin, self._on_back = uri, begin, on_back
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None
        self._why = "libvirt has not answered yet"
        self._first: Future[None] = Future()  # what came of the first try
        self._stopping = threading.Event()
        self.lost = threading.Event()  # there is none, and one is to be made

    def start(self) -> None:
        """Does not wait for a libvirtd that is away, nor long for one that does not answer. Raises
        DriverError for what ``begin`` refuses.
        """
        _run_events()
        self.lost.set()
        vital("libvirt", self._connect).start()
        wait([self._first], FIRST_ANSWER_S)
        if self._connection is not None:
            return
        refusal = self._first.exception() if self._first.done() else None
        if isinstance(refusal, DriverError):
            self.stop()
            raise refusal
        log.warning("%s; the agent waits for it", self._why)

    def stop(self) -> None:
        """Closes the connection; domains go on."""
        self._stopping.set()
        self.lost.set()
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def get(self) -> libvirt.virConnect:
        connection = self._connection
        if connection is None:
            raise Unavailable(self._why)
        return connection

    def away(self) -> str:
        return "" if self._connection is not None else self._why

    def _open(self) -> libvirt.virConnect:
        with translated(self._uri):
            connection = libvirt.open(self._uri)
            connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
            connection.registerCloseCallback(self._closed, None)
            try:
                self._begin(connection)
            except libvirt.libvirtError:
                _drop(connection)
                raise
            return connection

    def _closed(self, connection: libvirt.virConnect, reason: int, opaque: object) -> None:
        """In libvirt's event thread: nothing may be called on libvirt from here."""
        if not self._stopping.is_set():
            self._why = "libvirt went away; guests go on"
            log.warning("%s", self._why)
            self._connection = None
            self.lost.set()

    def _connect(self) -> None:
        """A thread of its own: waits for a loss, then tries until libvirt is there."""
        while True:
            self.lost.wait()
            self.lost.clear()
            pause = RECONNECT_FIRST_S
            while not self._stopping.is_set() and self._connection is None:
                try:
                    connection = self._open()
                    with self._lock:
                        self._connection = connection
                    check_alive(connection)  # else _closed came too early, and does not again
                except (DriverError, Unavailable) as failure:
                    self._note_failure(failure)
                    self._stopping.wait(pause)
                    pause = min(pause * 2, RECONNECT_MOST_S)
                    continue
                if not self._first.done():
                    self._first.set_result(None)
                log.info("libvirt is there")
                self._on_back()
            if self._stopping.is_set():
                return

    def _note_failure(self, failure: DriverError | Unavailable) -> None:
        """One that is there and cannot be used is an operator's matter: said once."""
        self._connection = None
        if isinstance(failure, DriverError) and str(failure) != self._why:
            log.error("%s; the agent goes on trying", failure)
        self._why = str(failure)
        if not self._first.done():
            self._first.set_exception(failure)


def _drop(connection: libvirt.virConnect) -> None:
    """Nobody is told any more of what becomes of it, which may be lost already."""
    with contextlib.suppress(libvirt.libvirtError):
        connection.unregisterCloseCallback()
    with contextlib.suppress(libvirt.libvirtError):
        connection.close()


_events = threading.Lock()
_events_run = False


def _run_events() -> None:
    """libvirt's event loop: one per process, registered before the first connection is opened."""
    global _events_run
    with _events:
        if _events_run:
            return
        libvirt.registerErrorHandler(lambda context, error: None, None)  # raised anyway
        libvirt.virEventRegisterDefaultImpl()
        vital("libvirt-events", _event_loop).start()
        _events_run = True


def _event_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()
