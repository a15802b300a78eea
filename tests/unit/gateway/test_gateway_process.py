"""``python -m gateway``: starts without its controller, lets nobody in then, stops when told, and
its processes end together."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from gateway import http, workers
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


def there(port):
    """The gateway's health, as soon as there is one to ask."""
    http = urllib3.PoolManager(retries=False)

    def health():
        try:
            return http.request("GET", f"http://127.0.0.1:{port}/healthz")
        except urllib3.exceptions.HTTPError:
            return None

    return wait_until("the gateway", health)


def other_process(first):
    """Of the two that serve, the one that the first has forked."""
    return int(Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text())


def start(path, *within):
    return subprocess.Popen(
        [*within, sys.executable, "-m", "gateway", "--config", str(path)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_cut_off_from_the_controller_nobody_is_let_in(config):
    path, port = config
    url, process = f"http://127.0.0.1:{port}", start(path)
    try:
        assert there(port).status == 503
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


def test_descriptors_suffice_for_all_connections(config):
    path, port = config
    process = start(path, "prlimit", "--nofile=256:2048")
    try:
        there(port)
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (2048, 2048)
    finally:
        process.kill()
        process.communicate()


def test_a_port_that_is_taken_is_said(config):
    path, port = config
    first = start(path)
    try:
        there(port)
        second = start(path)
        _, said = second.communicate(timeout=20)
        assert (second.returncode, str(port) in said) == (2, True)
    finally:
        first.kill()
        first.communicate()


def test_a_process_that_dies_takes_the_others_along(config):
    path, port = config
    first = start(path)
    try:
        there(port)
        os.kill(other_process(first), signal.SIGKILL)
        _, said = first.communicate(timeout=20)
        assert (first.returncode, "worker has died" in said) == (1, True)
    finally:
        first.kill()


def test_a_process_that_is_stopped_for_a_while_has_not_died(config):
    path, port = config
    first = start(path)
    try:
        there(port)
        other = other_process(first)
        for number, state in ((signal.SIGSTOP, "T"), (signal.SIGCONT, "S")):
            os.kill(other, number)
            wait_until(state, lambda: f"State:\t{state}" in status(other))  # noqa: B023
        there(port)
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
    finally:
        first.kill()
        first.communicate()


def status(pid):
    return Path(f"/proc/{pid}/status").read_text()


FAILS = """
import os, sys, threading
from gateway import workers
from protos.threads import end_process

first = os.getpid()

def serve(stopped):
    if (os.getpid() == first) is (sys.argv[1] == "first"):
        threading.Thread(target=end_process).start()
    stopped()

workers.run(2, serve)
"""


@pytest.mark.parametrize("which", ["first", "other"])
def test_where_a_thread_fails_all_processes_end(which):
    ended = subprocess.run([sys.executable, "-c", FAILS, which], cwd=ROOT, timeout=20)
    assert ended.returncode == 1


def test_what_is_in_flight_has_as_long_in_every_process():
    assert http.Limits().stop_s < workers.GRACE_S


def test_the_first_is_outlived_by_none(config):
    path, port = config
    first = start(path)
    there(port)
    other = Path(f"/proc/{other_process(first)}")
    first.kill()
    first.communicate()
    wait_until("its end", lambda: not other.exists())


def test_a_configuration_that_is_wrong_is_said(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text("nonsense = 1\n")
    process = start(path)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "nonsense" in said and "Traceback" not in said
