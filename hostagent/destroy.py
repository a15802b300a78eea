"""``python -m hostagent --config FILE --destroy``: takes away all guests and networks that this
agent has made. For ``pileus down --destroy``; disks go with the state dir.

    destroy(config) -> names of domains that are not ours and were left alone

Works without the controller and without the agent's drivers being up. May be repeated.
"""

from hostagent import facts, shell
from hostagent.config import Config
from hostagent.enrolment import read_identity
from hostagent.equipment import CPUINFO
from hostagent.ledger import Ledger, open_file
from hostagent.service import hold, wall_ms


def destroy(config: Config) -> list[str]:
    """Raises DriverError where something resists, OSError while the agent still runs."""
    if config.hypervisor == "fake":
        return []  # its guests are files of the state dir
    from hostagent.network.driver import LinuxNetwork

    config.state_dir.mkdir(parents=True, exist_ok=True)
    with hold(config.state_dir):
        strangers = _remove_domains(config) if (config.pki / "host.crt").exists() else []
        LinuxNetwork(config.network, run=shell.run).destroy_all()
    return strangers


def _remove_domains(config: Config) -> list[str]:
    """Those that the ledger knows; others may be somebody else's."""
    from hostagent.hypervisors import domain_xml
    from hostagent.hypervisors.libvirt_driver import LibvirtHypervisor

    made, host_id = config.libvirt, read_identity(config.pki).host_id
    virtual = facts.choose_hypervisor(config.hypervisor, CPUINFO.read_text())
    settings = domain_xml.Settings(virtual, made.machine, made.cache, made.tcg_translation_mib)
    hypervisor = LibvirtHypervisor(made.uri, settings, host_id)
    ledger = Ledger(
        open_file(config.state_dir / "ledger.db"),
        host_id,
        now_ms=wall_ms(),
        boot_id=facts.boot_id(),
        only_look=True,
    )
    known, strangers = ledger.instances(), []
    hypervisor.start()
    try:
        for name in sorted(hypervisor.domains()):
            if name in known or ledger.was_here(name):
                hypervisor.remove(name)
            else:
                strangers.append(name)
    finally:
        hypervisor.stop()
    return strangers
