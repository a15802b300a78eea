"""DNS names of addresses, as EC2 spells them. Pure; called wherever a name is shown.

    private   ip-172-31-0-5.ec2.internal       answered by the VPC's own resolver; ec2.internal in
                                               us-east-1, <region>.compute.internal elsewhere
    public    ec2-100-64-0-5.<public suffix>   where the operator serves such a zone (config:
                                               region.public_dns_suffix); inside its VPC it is
                                               answered with the private address
              100.64.0.5                       where he does not: what takes a name takes an address
                                               (a name that nobody resolves helps no one)

The host agent must be told the same private suffix (HostSettings.dns_suffix).
"""

from dataclasses import dataclass

FIRST_REGION = "us-east-1"  # its private names are older than the others' form


def private_suffix(region: str) -> str:
    """The domain of a region's private names (EC2 User Guide, "EC2 instance hostnames")."""
    return "ec2.internal" if region == FIRST_REGION else f"{region}.compute.internal"


@dataclass(frozen=True)
class DnsNames:
    private_suffix: str = "ec2.internal"
    public_suffix: str = ""

    def private(self, address: str) -> str:
        return f"ip-{address.replace('.', '-')}.{self.private_suffix}" if address else ""

    def public(self, address: str, dns_hostnames: bool = True) -> str:
        """``dns_hostnames``: whether its VPC gives such names (DNS_HOSTNAMES)."""
        if not dns_hostnames:
            return ""
        if not address or not self.public_suffix:
            return address
        return f"ec2-{address.replace('.', '-')}.{self.public_suffix}"
