"""Only hosts whose agent's address is in the network of the hints ``build_near_host_ip`` and
``cidr``."""

import ipaddress

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    if not ask.near_network:
        return ""
    try:
        near = ipaddress.ip_address(host.address) in ipaddress.ip_network(ask.near_network)
    except ValueError:  # an agent known by a name has no place in a network
        near = False
    return "" if near else f"outside {ask.near_network}"
