"""The services' configurations, written from what the cloud is. Called by ``up``.

What an operator wants otherwise goes into extra/<service>.toml below the state dir: its keys win,
and ``up`` never writes there.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any, TypeAlias

from cli.cloud import Cloud, bracketed
from cli.errors import CliError
from cli.layout import Layout
from protos.config import ConfigError, read
from protos.files import write_whole

Config: TypeAlias = dict[str, Any]  # a TOML table


def ensure_master_key(layout: Layout) -> bool:
    """32 random bytes as ``controller/identity/sealing`` reads them: "<number>:<base64>"."""
    if layout.master_key.exists():
        return False
    write_whole(layout.master_key, f"0:{base64.b64encode(os.urandom(32)).decode()}\n")
    return True


def write_controller(layout: Layout, cloud: Cloud) -> None:
    inside, reached = cloud.inside, _reached(cloud)
    _write(
        layout,
        "controller",
        {
            "state_dir": str(layout.root / "controller"),
            "master_key_file": str(layout.master_key),
            "listen": f"{bracketed(inside)}:{cloud.controller_port}",
            "join_listen": f"{bracketed(inside)}:{cloud.join_port}",
            **({"socket": str(socket)} if (socket := layout.controller_socket) else {}),
            "endpoint": f"{bracketed(reached)}:{cloud.controller_port}",
            "join_endpoint": f"{bracketed(reached)}:{cloud.join_port}",
            "tls": {
                "ca": str(layout.ca),
                "ca_key": str(layout.pki / "ca.key"),
                "certificate": str(layout.pki / "controller.crt"),
                "key": str(layout.pki / "controller.key"),
            },
            "region": {
                "name": cloud.region,
                "zones": [_zone(cloud, name) for name in cloud.zone_ids],
            },
            "networks": {"public_pool": cloud.public_cidr},
        },
    )


def _zone(cloud: Cloud, name: str) -> dict[str, str]:
    """The hosts are the first zone's, and stand for the others too (controller/config.py)."""
    zone = {"name": name, "id": cloud.zone_ids[name]}
    return zone if name == cloud.zone else zone | {"hosts_of": cloud.zone}


def _reached(cloud: Cloud) -> str:
    """Where what listens ``inside`` is found."""
    return "127.0.0.1" if cloud.loopback else cloud.address


def _controller(cloud: Cloud) -> str:
    """Where this machine's services find it."""
    return f"{bracketed(_reached(cloud))}:{cloud.controller_port}"


def write_gateway(layout: Layout, cloud: Cloud) -> None:
    config: Config = {
        "listen": f"{bracketed(cloud.listen)}:{cloud.port}",
        "controller": _controller(cloud),
        "region": cloud.region,
        "ca": str(layout.ca),
        "certificate": str(layout.pki / "gateway.crt"),
        "key": str(layout.pki / "gateway.key"),
    }
    if socket := layout.controller_socket:
        config["controller_socket"] = str(socket)
    if cloud.sigv2:
        config["sigv2"] = True
    if cloud.signing_region:
        config["signing_region"] = cloud.signing_region
    if not cloud.loopback:
        config["tls_certificate"] = str(layout.pki / "endpoint.crt")
        config["tls_key"] = str(layout.pki / "endpoint.key")
    _write(layout, "gateway", config)


def host_names(cloud: Cloud) -> list[str]:
    """As hostagent/config.py names several agents of one process: host-1, host-2 ..."""
    return [f"host-{number}" for number in range(1, cloud.hosts + 1)]


def nbd_folder(layout: Layout, cloud: Cloud) -> Path:
    """The real host's: what serves its volumes to others, and the certificates that its QEMU proves
    itself with (hostagent/config.py)."""
    return layout.host(host_names(cloud)[0]) / "run" / "nbd"


def write_host(layout: Layout, cloud: Cloud, tokens: list[str]) -> None:
    """The agent of this machine, or N fake ones in one process. Tokens are used once, to join."""
    several = cloud.hosts > 1
    name = "host" if several else host_names(cloud)[0]
    config: Config = {
        "name": name,
        "state_dir": str(layout.host(name)),
        "controller": _controller(cloud),  # what its join said is of then: --listen may change
        "listen": f"127.0.0.1:{cloud.host_port}",
        "availability_zone": cloud.zone,
        "hypervisor": cloud.hypervisor,
        "hosts": cloud.hosts,
    }
    if tokens:
        config["join_tokens" if several else "join_token"] = tokens if several else tokens[0]
    if not cloud.fake:
        config["libvirt"] = {"uri": f"qemu:///system?socket={layout.libvirt_socket}"}
        config["network"] = {
            "prefix": cloud.network_prefix,
            "pool": cloud.public_cidr,
            "transit": cloud.transit_cidr,
            "region": cloud.region,
        }
        config["volumes"] = {
            "listen": f"{bracketed(cloud.inside)}:{cloud.volume_port}",
            "endpoint": f"{bracketed(_reached(cloud))}:{cloud.volume_port}",
        }
    _write(layout, "host", config)


def _write(layout: Layout, service: str, config: Config) -> None:
    extra = layout.root / "extra" / f"{service}.toml"
    if extra.exists():
        try:
            config = _merged(config, read(extra))
        except ConfigError as mistake:
            raise CliError(str(mistake)) from mistake
    text = f"# Written by `pileus up`; changes go into extra/{service}.toml.\n" + toml(config)
    path = layout.config(service)
    if not _says_already(path, text):
        write_whole(path, text)


def _says_already(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def _merged(base: Config, wins: Config) -> Config:
    merged = dict(base)
    for key, value in wins.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if both else value
    return merged


def toml(config: Config, path: str = "") -> str:
    """TOML of strings, numbers, booleans, lists of those, tables, and lists of tables."""
    lines, tables = [], []
    for key, value in config.items():
        name = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            tables.append(f"\n[{name}]\n{toml(value, name)}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables += [f"\n[[{name}]]\n{toml(one, name)}" for one in value]
        else:
            # JSON's strings, numbers, booleans and lists are TOML as well.
            lines.append(f"{key} = {json.dumps(value, ensure_ascii=False)}\n")
    return "".join(lines + tables)
