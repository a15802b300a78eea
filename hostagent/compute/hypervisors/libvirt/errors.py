"""libvirt's errors as drivers.DriverError, and as drivers.Unavailable where libvirtd is not there.

    with translated("i-1"): ...        "i-1: <libvirt's words>"

Called by driver.
"""

from types import TracebackType

import libvirt

from hostagent.kernel.errors import DriverError, Unavailable

# Asking again changes nothing: the domain as described cannot be.
_LASTING = (
    libvirt.VIR_ERR_XML_ERROR,
    libvirt.VIR_ERR_XML_DETAIL,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_NO_SUPPORT,
    libvirt.VIR_ERR_DOM_EXIST,
)


class translated:
    """See the module's head."""

    def __init__(self, what: str):
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(failure, libvirt.libvirtError):
            message = f"{self._what}: {failure.get_error_message()}"
            if _is_away(failure):
                raise Unavailable(message) from failure
            raise DriverError(
                message,
                transient=failure.get_error_code() not in _LASTING,
                because=failure.get_error_code(),
            ) from failure


def _is_away(failure: libvirt.libvirtError) -> bool:
    """The client's own word, not libvirtd's: nobody listens, or the connection broke. A message
    that it cannot send as it is (VIR_ERR_RPC) is another matter.
    """
    of_client = failure.get_error_domain() == libvirt.VIR_FROM_RPC
    return bool(of_client and failure.get_error_code() != libvirt.VIR_ERR_RPC)


def check_alive(connection: libvirt.virConnect) -> None:
    """Raises Unavailable for a connection that was lost."""
    with translated("the connection"):
        if not connection.isAlive():
            raise Unavailable("libvirt went away again")
