"""``python -m gateway``: starts without its controller, lets nobody in then, stops when told."""

import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.harness.installation import free_ports
from tests.harness.pki import Authority
from tests.harness.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def config(tmp_path):
    """A gateway's file whose controller is not there."""
    tls = Authority.make(tmp_path / "pki").issue("gateway")
    port, absent = free_ports(2)
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'listen = "127.0.0.1:{port}"\ncontroller = "127.0.0.1:{absent}"\nrpc_timeout_s = 1\n'
        f'ca = "{tls.ca}"\ncertificate = "{tls.certificate}"\nkey = "{tls.key}"\n'
    )
    return path, port


def start(path):
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", "--config", str(path)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_cut_off_from_the_controller_nobody_is_let_in(config):
    path, port = config
    url, process = f"http://127.0.0.1:{port}", start(path)
    http = urllib3.PoolManager(retries=False)

    def health():
        try:
            return http.request("GET", f"{url}/healthz")
        except urllib3.exceptions.HTTPError:
            return None

    try:
        assert wait_until("the gateway", health).status == 503
        ec2 = boto3.client(
            "ec2",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="AKID",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )
        with pytest.raises(ClientError) as refusal:
            ec2.describe_vpcs()
        answer = refusal.value.response
        assert answer["Error"]["Code"] == "Unavailable"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 503
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_is_said(config):
    path, port = config
    first = start(path)
    try:
        http = urllib3.PoolManager(retries=False)

        def there():
            try:
                return http.request("GET", f"http://127.0.0.1:{port}/healthz")
            except urllib3.exceptions.HTTPError:
                return None

        wait_until("the gateway", there)
        second = start(path)
        _, said = second.communicate(timeout=20)
        assert (second.returncode, str(port) in said) == (2, True)
    finally:
        first.kill()
        first.communicate()


def test_a_configuration_that_is_wrong_is_said(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("nonsense = 1\n")
    process = start(path)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "nonsense" in said and "Traceback" not in said
