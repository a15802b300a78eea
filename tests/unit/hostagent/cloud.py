"""A certificate authority and a controller of a few lines, for tests of the agent's outer shell."""

import base64
import datetime
import json
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protos import rpc
from protos.cloud.v1 import fleet_pb2, fleet_pb2_grpc
from protos.rpc import TlsFiles, dns_name

_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs whatever it is given."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._name = name
        builder = self._builder(name, self._key.public_key())
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        certificate = builder.add_extension(constraint, critical=True).sign(
            self._key, hashes.SHA256()
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def sign(self, public_key, peer: str) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_name(peer))])
        names = x509.SubjectAlternativeName([x509.DNSName(dns_name(peer))])
        builder = self._builder(subject, public_key).add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def files(self, folder: Path, peer: str) -> TlsFiles:
        """A fresh key and certificate for ``peer``."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = peer.replace(":", "-")
        paths = TlsFiles(folder / f"{name}-ca.crt", folder / f"{name}.crt", folder / f"{name}.key")
        paths.ca.write_bytes(self.pem)
        paths.certificate.write_bytes(self.sign(key.public_key(), peer))
        paths.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def _builder(self, subject, public_key) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )


class Controller(fleet_pb2_grpc.FleetServicer, fleet_pb2_grpc.EnrolmentServicer):
    """Takes reports, remembers the newest observation of each instance, lets hosts join."""

    def __init__(self, folder: Path, host_id: str):
        self.authority = Authority()
        self.tls = self.authority.files(folder, "controller")
        self.host_id, self.endpoint = host_id, ""
        self.reports: list[fleet_pb2.HostReport] = []
        self.observed: dict[str, int] = {}
        self.images: dict[str, bytes] = {}
        self.changed = threading.Condition()
        self._servers = []

    def serve(self, port: int, join_port: int) -> None:
        self.endpoint = f"127.0.0.1:{port}"
        add = [(fleet_pb2_grpc.add_FleetServicer_to_server, self)]
        join = [(fleet_pb2_grpc.add_EnrolmentServicer_to_server, self)]
        self._servers = [
            rpc.serve(self.endpoint, add, self.tls, lambda *call: None),
            rpc.serve(
                f"127.0.0.1:{join_port}",
                join,
                self.tls,
                lambda *call: None,
                client_certificates=False,
            ),
        ]
        content = {
            "address": f"127.0.0.1:{join_port}",
            "ca": self.authority.pem.decode(),
            "secret": "s",
        }
        self.token = (
            "pileus-join:" + base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
        )

    def stop(self) -> None:
        for server in self._servers:
            server.stop(grace=None).wait()

    def Join(self, request, context):
        csr = x509.load_pem_x509_csr(request.certificate_request_pem)
        return fleet_pb2.JoinResponse(
            host_id=self.host_id,
            certificate_pem=self.authority.sign(csr.public_key(), f"host:{self.host_id}"),
            ca_pem=self.authority.pem,
            controller_endpoint=self.endpoint,
        )

    def Report(self, request, context):
        self.take(request)
        return fleet_pb2.HostSpec(
            host_id=request.host_id,
            position=request.position,
            base=request.position,
            acknowledged_epoch=request.epoch,
            acknowledged_sequence=request.sequence,
        )

    def take(self, report: fleet_pb2.HostReport) -> None:
        with self.changed:
            self.reports.append(report)
            for observation in report.observations:
                self.observed[observation.id] = observation.instance.observed
            self.changed.notify_all()

    def FetchImage(self, request, context):
        content = self.images[request.digest][request.offset :]
        for start in range(0, len(content), 65536):
            yield fleet_pb2.ImageChunk(data=content[start : start + 65536])

    def wait_for(self, what, timeout_s: float = 20.0) -> None:
        """Until ``what()`` is true; looked at after each report."""
        with self.changed:
            assert self.changed.wait_for(what, timeout_s), self.observed
