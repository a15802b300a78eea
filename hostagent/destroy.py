"""``python -m hostagent --config FILE --destroy``: takes away all guests and networks that this
agent has made, and what serves its volumes. For ``pileus down --destroy``; disks go with the state
dir.

    destroy(config) -> names of domains that are not ours and were left alone

Works without the controller and without the agent's drivers being up. May be repeated.
"""

from hostagent import facts
from hostagent.config import Config
from hostagent.driver_factory import CPUINFO
from hostagent.enrolment import read_identity
from hostagent.kernel import shell
from hostagent.service import hold
from hostagent.storage.volumes.storage_daemon import stop_all


def destroy(config: Config) -> list[str]:
    """Raises DriverError where something resists, OSError while the agent still runs."""
    if config.hypervisor == "fake":
        return []  # its guests are files of the state dir
    from hostagent.network.linux import LinuxNetwork

    config.state_dir.mkdir(parents=True, exist_ok=True)
    with hold(config.state_dir):
        strangers = _remove_domains(config) if (config.pki / "host.crt").exists() else []
        stop_all(config.state_dir.absolute())
        LinuxNetwork(config.network, run=shell.run).destroy_all()
    return strangers


def _remove_domains(config: Config) -> list[str]:
    """By the mark that each domain carries: also those that a lost ledger does not know."""
    from hostagent.compute.hypervisors.libvirt import domain_xml
    from hostagent.compute.hypervisors.libvirt.driver import LibvirtHypervisor

    made, host_id = config.libvirt, read_identity(config.pki).host_id
    virtual = facts.choose_hypervisor(config.hypervisor, CPUINFO.read_text())
    settings = domain_xml.Settings(virtual, made.machine, made.cache, made.tcg_translation_mib)
    hypervisor = LibvirtHypervisor(made.uri, settings, host_id)
    hypervisor.start()
    try:
        return hypervisor.destroy_all()
    finally:
        hypervisor.stop()
