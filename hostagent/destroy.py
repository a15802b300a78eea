"""``python -m hostagent --config FILE --destroy``: takes away all guests and networks that this
agent has made, and what serves its volumes. For ``pileus down --destroy``; disks go with the state
dir.

    destroy(config) -> names of domains that are not ours and were left alone

Works without the controller and without the agent's drivers being up. May be repeated.
"""

from hostagent.config import Config
from hostagent.driver_factory import libvirt_hypervisor, linux_network
from hostagent.enrolment import read_identity
from hostagent.service import hold
from hostagent.storage.volumes.storage_daemon import stop_all
from protos.private_files import make_folder


def destroy(config: Config) -> list[str]:
    """Raises DriverError where something resists, OSError while the agent still runs."""
    if config.hypervisor == "fake":
        return []  # its guests are files of the state dir
    make_folder(config.state_dir)
    with hold(config.state_dir):
        unknown = _remove_domains(config) if (config.pki / "host.crt").exists() else []
        stop_all(config.state_dir.absolute())
        linux_network(config).destroy_all()
    return unknown


def _remove_domains(config: Config) -> list[str]:
    """By the mark that each domain carries: also those that a lost ledger does not know."""
    hypervisor = libvirt_hypervisor(config, read_identity(config.pki).host_id)
    hypervisor.start()
    try:
        return hypervisor.destroy_all()
    finally:
        hypervisor.stop()
