"""What benchmarks run against: a Pileus with fake hosts in its own folder, and moto's server."""

import contextlib
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

ROOT = Path(__file__).resolve().parent.parent
# Quotas that a benchmark is not about.
UNBOUNDED = ("instances", "vcpus", "memory_mib", "network_interfaces", "volumes", "gigabytes")
ONE_TRY = Config(retries={"total_max_attempts": 1}, max_pool_connections=50)


@dataclass(frozen=True)
class Cloud:
    """A running cloud: its endpoint, a first account's keys, and where its state is."""

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str
    state_dir: Path | None = None

    def client(self, service: str = "ec2", config: Config = ONE_TRY):
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=config,
        )

    def image_id(self) -> str:
        there = [{"Name": "state", "Values": ["available"]}]
        images = self.client().describe_images(Owners=["self"], Filters=there)["Images"]
        return images[0]["ImageId"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pileus(*arguments: str, check: bool = True, root: Path = ROOT) -> str:
    """Runs ./pileus and answers what it printed; its log goes to standard error."""
    done = subprocess.run(
        [root / "pileus", *arguments], stdout=subprocess.PIPE, text=True, check=False, cwd=root
    )
    if check and done.returncode:
        sys.exit(f"./pileus {' '.join(arguments)} failed with {done.returncode}:\n{done.stdout}")
    return done.stdout


def running(state_dir: Path, root: Path = ROOT) -> Cloud:
    """The cloud that runs from a folder, as its operator's account sees it."""
    text = pileus("env", "--state-dir", str(state_dir), root=root)
    exports = dict(re.findall(r"export (\w+)='?([^'\n]*)'?", text))
    return Cloud(
        exports["AWS_ENDPOINT_URL"],
        exports["AWS_ACCESS_KEY_ID"],
        exports["AWS_SECRET_ACCESS_KEY"],
        exports["AWS_DEFAULT_REGION"],
        state_dir,
    )


@contextlib.contextmanager
def fake_pileus(hosts: int = 1, root: Path = ROOT) -> Iterator[Cloud]:
    """The shipped services with fake hypervisors, in a temporary folder, gone at the end.

    ``root``: the checkout whose services they are.
    """
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder:
        state = ("--state-dir", folder)
        asked = ("--hypervisor", "fake", "--hosts", str(hosts), "--public-cidr", "100.64.0.0/20")
        try:
            pileus("up", *state, "--detach", *asked, "--port", str(free_port()), root=root)
            cloud = running(Path(folder), root)
            account = cloud.client("sts").get_caller_identity()["Account"]
            for name in UNBOUNDED:
                quota = ("quota", "set", *state, "--account", account, name, str(10**9))
                pileus(*quota, root=root)
            yield cloud
        finally:
            pileus("down", *state, "--destroy", check=False, root=root)


@contextlib.contextmanager
def moto() -> Iterator[Cloud]:
    """moto's server, the fake EC2 that test suites use."""
    if importlib.util.find_spec("moto") is None:
        raise ModuleNotFoundError("No module named 'moto'", name="moto")
    port = free_port()
    environment = dict(os.environ, MOTO_EC2_LOAD_DEFAULT_AMIS="true")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        cloud = Cloud(f"http://127.0.0.1:{port}", "AKIAIOSFODNN7EXAMPLE", "secret", "us-east-1")
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline or server.poll() is not None:
                sys.exit("moto's server did not start")
            time.sleep(0.05)
        yield cloud
    finally:
        server.terminate()
        server.wait(10)


def moto_image(cloud: Cloud) -> str:
    return cloud.client().describe_images(Owners=["amazon"])["Images"][0]["ImageId"]


def signed(cloud: Cloud, action: str, **parameters: str) -> AWSPreparedRequest:
    """A call as boto3 would send it, good for some minutes."""
    body = urlencode({"Action": action, "Version": "2016-11-15", **parameters})
    kind = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    request = AWSRequest("POST", cloud.endpoint + "/", headers=kind, data=body)
    credentials = Credentials(cloud.access_key_id, cloud.secret_access_key)
    SigV4Auth(credentials, "ec2", cloud.region).add_auth(request)
    return request.prepare()


def raw_call(cloud: Cloud, action: str, **parameters: str) -> Callable[[], bytes]:
    """A signed call over one kept connection that reads the answer and does not parse it."""
    at_once = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as boto3's client has it
    session = URLLib3Session(socket_options=[at_once])

    def call() -> bytes:
        answer = session.send(signed(cloud, action, **parameters))
        if answer.status_code != 200:
            raise SystemExit(f"{action}: {answer.status_code} {answer.text}")
        return answer.content

    return call


def run_instances(cloud: Cloud, image_id: str, count: int, batch: int = 100) -> None:
    """Launches ``count`` of the smallest instances, some at a time."""
    ec2 = cloud.client()
    while count > 0:
        ec2.run_instances(
            ImageId=image_id,
            InstanceType="t2.nano",
            MinCount=min(batch, count),
            MaxCount=min(batch, count),
        )
        count -= batch


def machine() -> str:
    """A line about where the figures come from."""
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    return json.dumps(
        {
            "cpus": os.cpu_count(),
            "model": model[1] if model else "",
            "python": sys.version.split()[0],
        }
    )
