"""Keys against OpenSSH's and PuTTY's own words (fixtures: ssh-keygen 9.2, puttygen 0.78)."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import serialization

from controller.compute.key_pairs.formats import _ppk, create_key, import_key
from protos.errors import CloudError, Kind

RSA_MD5 = "be:ea:2d:78:ca:8b:6e:4f:06:ab:67:fd:00:40:96:71"
RSA_FORMS = {
    "line": (
        b"ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDUSluyNDbDA/7hv9ypk8VSEYYFJ3nTlqipfA1UoAjR"
        b"2zHm5+Fgjx4xDDWQcasqRWKWO1NZpLIA+MC1oTcr/+qWDS+0hbkvPat9REp7C0m+mvIs17eyLQZ2btfY"
        b"Fa1h1gLPi8MHCGXtwSpZegrslv2gicWrFpcWuUoDzQjQTQPi6M08rm3lHE36uQ8Mrq0PMnjjxzr3s5JG"
        b"rZhgkNxEuvdXJmReH55DbDwZDWd2SwwuysO4xFzbaqjk3HNyUaVqIaoHJjDbX85l1kBE05gPAP8eGWA3"
        b"ObLFdiQgYoQsI8kM85bD3izJIwWfeSH3/7sr+f2yymNP+aj4WT7cBCMXkwT7 someone@somewhere a"
        b" b"
    ),
    "wire_base64": (
        b"AAAAB3NzaC1yc2EAAAADAQABAAABAQDUSluyNDbDA/7hv9ypk8VSEYYFJ3nTlqipfA1UoAjR2zHm5+Fg"
        b"jx4xDDWQcasqRWKWO1NZpLIA+MC1oTcr/+qWDS+0hbkvPat9REp7C0m+mvIs17eyLQZ2btfYFa1h1gLP"
        b"i8MHCGXtwSpZegrslv2gicWrFpcWuUoDzQjQTQPi6M08rm3lHE36uQ8Mrq0PMnjjxzr3s5JGrZhgkNxE"
        b"uvdXJmReH55DbDwZDWd2SwwuysO4xFzbaqjk3HNyUaVqIaoHJjDbX85l1kBE05gPAP8eGWA3ObLFdiQg"
        b"YoQsI8kM85bD3izJIwWfeSH3/7sr+f2yymNP+aj4WT7cBCMXkwT7"
    ),
    "rfc4716": b"""---- BEGIN SSH2 PUBLIC KEY ----
Comment: "2048-bit RSA, converted by root@vm from OpenSSH"
AAAAB3NzaC1yc2EAAAADAQABAAABAQDUSluyNDbDA/7hv9ypk8VSEYYFJ3nTlqipfA1UoA
jR2zHm5+Fgjx4xDDWQcasqRWKWO1NZpLIA+MC1oTcr/+qWDS+0hbkvPat9REp7C0m+mvIs
17eyLQZ2btfYFa1h1gLPi8MHCGXtwSpZegrslv2gicWrFpcWuUoDzQjQTQPi6M08rm3lHE
36uQ8Mrq0PMnjjxzr3s5JGrZhgkNxEuvdXJmReH55DbDwZDWd2SwwuysO4xFzbaqjk3HNy
UaVqIaoHJjDbX85l1kBE05gPAP8eGWA3ObLFdiQgYoQsI8kM85bD3izJIwWfeSH3/7sr+f
2yymNP+aj4WT7cBCMXkwT7
---- END SSH2 PUBLIC KEY ----
""",
    "pem": b"""-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1EpbsjQ2wwP+4b/cqZPF
UhGGBSd505aoqXwNVKAI0dsx5ufhYI8eMQw1kHGrKkViljtTWaSyAPjAtaE3K//q
lg0vtIW5Lz2rfURKewtJvpryLNe3si0Gdm7X2BWtYdYCz4vDBwhl7cEqWXoK7Jb9
oInFqxaXFrlKA80I0E0D4ujNPK5t5RxN+rkPDK6tDzJ448c697OSRq2YYJDcRLr3
VyZkXh+eQ2w8GQ1ndksMLsrDuMRc22qo5NxzclGlaiGqByYw21/OZdZARNOYDwD/
HhlgNzmyxXYkIGKELCPJDPOWw94sySMFn3kh9/+7K/n9sspjT/mo+Fk+3AQjF5ME
+wIDAQAB
-----END PUBLIC KEY-----
""",
    "der_base64": (
        b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1EpbsjQ2wwP+4b/cqZPFUhGGBSd505aoqXwN"
        b"VKAI0dsx5ufhYI8eMQw1kHGrKkViljtTWaSyAPjAtaE3K//qlg0vtIW5Lz2rfURKewtJvpryLNe3si0G"
        b"dm7X2BWtYdYCz4vDBwhl7cEqWXoK7Jb9oInFqxaXFrlKA80I0E0D4ujNPK5t5RxN+rkPDK6tDzJ448c6"
        b"97OSRq2YYJDcRLr3VyZkXh+eQ2w8GQ1ndksMLsrDuMRc22qo5NxzclGlaiGqByYw21/OZdZARNOYDwD/"
        b"HhlgNzmyxXYkIGKELCPJDPOWw94sySMFn3kh9/+7K/n9sspjT/mo+Fk+3AQjF5ME+wIDAQAB"
    ),
    "pkcs1_pem": b"""-----BEGIN RSA PUBLIC KEY-----
MIIBCgKCAQEA1EpbsjQ2wwP+4b/cqZPFUhGGBSd505aoqXwNVKAI0dsx5ufhYI8e
MQw1kHGrKkViljtTWaSyAPjAtaE3K//qlg0vtIW5Lz2rfURKewtJvpryLNe3si0G
dm7X2BWtYdYCz4vDBwhl7cEqWXoK7Jb9oInFqxaXFrlKA80I0E0D4ujNPK5t5RxN
+rkPDK6tDzJ448c697OSRq2YYJDcRLr3VyZkXh+eQ2w8GQ1ndksMLsrDuMRc22qo
5NxzclGlaiGqByYw21/OZdZARNOYDwD/HhlgNzmyxXYkIGKELCPJDPOWw94sySMF
n3kh9/+7K/n9sspjT/mo+Fk+3AQjF5ME+wIDAQAB
-----END RSA PUBLIC KEY-----
""",
}
PUTTY_RSA_PEM = b"""-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAABFwAAAAdzc2gtcn
NhAAAAAwEAAQAAAQEA1EpbsjQ2wwP+4b/cqZPFUhGGBSd505aoqXwNVKAI0dsx5ufhYI8e
MQw1kHGrKkViljtTWaSyAPjAtaE3K//qlg0vtIW5Lz2rfURKewtJvpryLNe3si0Gdm7X2B
WtYdYCz4vDBwhl7cEqWXoK7Jb9oInFqxaXFrlKA80I0E0D4ujNPK5t5RxN+rkPDK6tDzJ4
48c697OSRq2YYJDcRLr3VyZkXh+eQ2w8GQ1ndksMLsrDuMRc22qo5NxzclGlaiGqByYw21
/OZdZARNOYDwD/HhlgNzmyxXYkIGKELCPJDPOWw94sySMFn3kh9/+7K/n9sspjT/mo+Fk+
3AQjF5ME+wAAA9CbjqbSm46m0gAAAAdzc2gtcnNhAAABAQDUSluyNDbDA/7hv9ypk8VSEY
YFJ3nTlqipfA1UoAjR2zHm5+Fgjx4xDDWQcasqRWKWO1NZpLIA+MC1oTcr/+qWDS+0hbkv
Pat9REp7C0m+mvIs17eyLQZ2btfYFa1h1gLPi8MHCGXtwSpZegrslv2gicWrFpcWuUoDzQ
jQTQPi6M08rm3lHE36uQ8Mrq0PMnjjxzr3s5JGrZhgkNxEuvdXJmReH55DbDwZDWd2Swwu
ysO4xFzbaqjk3HNyUaVqIaoHJjDbX85l1kBE05gPAP8eGWA3ObLFdiQgYoQsI8kM85bD3i
zJIwWfeSH3/7sr+f2yymNP+aj4WT7cBCMXkwT7AAAAAwEAAQAAAQAq/O+6k1YvgWSgpDBz
6md/qerAqnDCBvUadPNiGpIOpNtjDbuWyQRtHDLQkCQACFLhZxwGwBIHnlevr/izITyIrB
zn6lhIl61dTXHjnrKNNWUq7XfWTcXMP7/XkvQsJqElFAEnMG0riv0fZ1ZE+IJdeuibL5Ti
1hyFzoQlYiMSVIFA6EQJYEMKwyN9Kp2Tm/FMonLkCNq3sB7bKAd/7qxc7+Ey2GjwPLx7+d
HeUd2aSLpM9mwZCBS1E/7EN/aehG9uwK/cNpfd4FVJsmtvqOsXo6u1nfJuUQO96+twIqXh
e9vaiyZ6AZNkWwCsshDlewbU64HAxyZ1lzRrf8oLZpJhAAAAgClMz9GfPGHC4oNOIn3BVE
ukDgAjOvkaxlt2rS8KrhpaNbcIXgZlcbgOYY9PGvX6Bgv8KT0lcrSP5qJDXPFxJ0mSnMeP
Hqy5lwb55cVxwYms/vzoM/tv7U177G1BO9JggJW6i9GEdmq9I0/tvxhsonXiL875+nvmUQ
VugKgLT3d/AAAAgQD/xCJ+MCTNZZ9oKRoojJdFz3eOoe9UAby1R78zPlKL1FRldjAooF7u
1pUuCMfbs6z80PhT0Vyv+zJDmZWN7/H3Hy+O0nxBV9RtRejaFtN+gBTOLdNswX1qLmQCQi
x/u9gKtQQvm1iLRY/v3v3uLgAR8RwW8aeRMTiC/DPzWhu4EQAAAIEA1HwMI9X8X+eGDtGP
pGR7+HICLKTcefsynhczaQVc5eU77044MAt06ivp3aR0vhZWiWUhc3lHP/mG7W0omiPD6A
IjTBRgh9Fpreths7mOEuc6iaPS9BXEkIfO6WKpuGMcQRufHW3VVKPmg4cBMPtasZkCt+zM
wSuATBfnsNOKmEsAAAAVc29tZW9uZUBzb21ld2hlcmUgYSBiAQIDBAUG
-----END OPENSSH PRIVATE KEY-----
"""
PUTTY_RSA_PPK = """PuTTY-User-Key-File-2: ssh-rsa
Encryption: none
Comment: c
Public-Lines: 6
AAAAB3NzaC1yc2EAAAADAQABAAABAQDUSluyNDbDA/7hv9ypk8VSEYYFJ3nTlqip
fA1UoAjR2zHm5+Fgjx4xDDWQcasqRWKWO1NZpLIA+MC1oTcr/+qWDS+0hbkvPat9
REp7C0m+mvIs17eyLQZ2btfYFa1h1gLPi8MHCGXtwSpZegrslv2gicWrFpcWuUoD
zQjQTQPi6M08rm3lHE36uQ8Mrq0PMnjjxzr3s5JGrZhgkNxEuvdXJmReH55DbDwZ
DWd2SwwuysO4xFzbaqjk3HNyUaVqIaoHJjDbX85l1kBE05gPAP8eGWA3ObLFdiQg
YoQsI8kM85bD3izJIwWfeSH3/7sr+f2yymNP+aj4WT7cBCMXkwT7
Private-Lines: 14
AAABACr877qTVi+BZKCkMHPqZ3+p6sCqcMIG9Rp082Iakg6k22MNu5bJBG0cMtCQ
JAAIUuFnHAbAEgeeV6+v+LMhPIisHOfqWEiXrV1NceOeso01ZSrtd9ZNxcw/v9eS
9CwmoSUUAScwbSuK/R9nVkT4gl166JsvlOLWHIXOhCViIxJUgUDoRAlgQwrDI30q
nZOb8UyicuQI2rewHtsoB3/urFzv4TLYaPA8vHv50d5R3ZpIukz2bBkIFLUT/sQ3
9p6Eb27Ar9w2l93gVUmya2+o6xejq7Wd8m5RA73r63AipeF729qLJnoBk2RbAKyy
EOV7BtTrgcDHJnWXNGt/ygtmkmEAAACBAP/EIn4wJM1ln2gpGiiMl0XPd46h71QB
vLVHvzM+UovUVGV2MCigXu7WlS4Ix9uzrPzQ+FPRXK/7MkOZlY3v8fcfL47SfEFX
1G1F6NoW036AFM4t02zBfWouZAJCLH+72Aq1BC+bWItFj+/e/e4uABHxHBbxp5Ex
OIL8M/NaG7gRAAAAgQDUfAwj1fxf54YO0Y+kZHv4cgIspNx5+zKeFzNpBVzl5Tvv
TjgwC3TqK+ndpHS+FlaJZSFzeUc/+YbtbSiaI8PoAiNMFGCH0Wmt62GzuY4S5zqJ
o9L0FcSQh87pYqm4YxxBG58dbdVUo+aDhwEw+1qxmQK37MzBK4BMF+ew04qYSwAA
AIApTM/RnzxhwuKDTiJ9wVRLpA4AIzr5GsZbdq0vCq4aWjW3CF4GZXG4DmGPTxr1
+gYL/Ck9JXK0j+aiQ1zxcSdJkpzHjx6suZcG+eXFccGJrP786DP7b+1Ne+xtQTvS
YICVuovRhHZqvSNP7b8YbKJ14i/O+fp75lEFboCoC093fw==
Private-MAC: d8ac1d7d6111748208e7c154ff80be9dcb622f6e
"""
ED25519_SHA256 = "th9yYty1kl8CCzW95ooXWqhqM87s8YPw1Sj2b5Anz4U"  # ssh-keygen -l
ED25519_FORMS = {
    "line": (
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIM9IkTCdAliBw3CX89P9a8jaGuS2p+UiNbkTD9O4sll5"
        b" someone@somewhere a b"
    ),
    "wire_base64": b"AAAAC3NzaC1lZDI1NTE5AAAAIM9IkTCdAliBw3CX89P9a8jaGuS2p+UiNbkTD9O4sll5",
    "rfc4716": b"""---- BEGIN SSH2 PUBLIC KEY ----
Comment: "256-bit ED25519, converted by root@vm from OpenSSH"
AAAAC3NzaC1lZDI1NTE5AAAAIM9IkTCdAliBw3CX89P9a8jaGuS2p+UiNbkTD9O4sll5
---- END SSH2 PUBLIC KEY ----
""",
}
PUTTY_ED25519_PEM = b"""-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDPSJEwnQJYgcNwl/PT/WvI2hrktqflIjW5Ew/TuLJZeQAAAJjUT5Js1E+S
bAAAAAtzc2gtZWQyNTUxOQAAACDPSJEwnQJYgcNwl/PT/WvI2hrktqflIjW5Ew/TuLJZeQ
AAAED7HC5RRwInxMSc+BQ9mygO/G88c7bGErHoFmhz2Jbtoc9IkTCdAliBw3CX89P9a8ja
GuS2p+UiNbkTD9O4sll5AAAAFXNvbWVvbmVAc29tZXdoZXJlIGEgYg==
-----END OPENSSH PRIVATE KEY-----
"""
PUTTY_ED25519_PPK = """PuTTY-User-Key-File-2: ssh-ed25519
Encryption: none
Comment: c
Public-Lines: 2
AAAAC3NzaC1lZDI1NTE5AAAAIM9IkTCdAliBw3CX89P9a8jaGuS2p+UiNbkTD9O4
sll5
Private-Lines: 1
AAAAIPscLlFHAifExJz4FD2bKA78bzxztsYSsegWaHPYlu2h
Private-MAC: 6d851deff4a302a49ff4dd0dd08713a70e69eaea
"""
ECDSA_LINE = (
    b"ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEi/ZmQm"
    b"U+UbYkKsoG+7A5/II6NLlm1WP0JU6acAZ5P1sDa+LBEBkfdPDq3ieYtmyicwzHzlt7bNtp1www8F8Jc="
    b" x"
)
SHORT_RSA_LINE = b"""-----BEGIN PUBLIC KEY-----
MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhALyD0XxfEecdGvwVTRFl86c5N5k/rI2q
zvPoIByvJISIIfVC38dkhn5joRMLuYC0FF1YeHtwVCM3i6NLKsK8OfJaQaIQgFNh
b/jubjl9Xz/6HpmBDdU+Y3CxyLokh3JL9wIDAQAB
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize("form", sorted(RSA_FORMS))
def test_every_form_of_an_rsa_key_is_the_same_key(form):
    key = import_key(RSA_FORMS[form])
    assert key.key_type == "rsa"
    assert key.fingerprint == RSA_MD5
    assert key.public_key == " ".join(RSA_FORMS["line"].decode().split()[:2])


@pytest.mark.parametrize("form", sorted(ED25519_FORMS))
def test_every_form_of_an_ed25519_key_is_the_same_key(form):
    key = import_key(ED25519_FORMS[form])
    assert (key.key_type, key.fingerprint) == ("ed25519", ED25519_SHA256 + "=")


@pytest.mark.parametrize(
    "material",
    [
        b"",
        b"\0",
        b"\xff\xfe",
        b"ssh-rsa",
        b"ssh-rsa AAAA",
        b"AAAA",
        b"---- BEGIN SSH2 PUBLIC KEY ----",
        b"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----",
        b"-----BEGIN PUBLIC KEY-----",
        b"ssh-dss AAAAB3NzaC1kc3MAAACB",
        b"AAAAB3NzaC1yc2EAAAADAQABAAAB",
        b"ssh-rsa " + b"A" * 20_000,
        ECDSA_LINE,
        SHORT_RSA_LINE,
    ],
)
def test_anything_else_is_no_key(material):
    with pytest.raises(CloudError) as refusal:
        import_key(material)
    assert (refusal.value.kind, refusal.value.reason) == (Kind.INVALID, "key-format")


def test_a_created_rsa_key_is_pkcs1_with_the_sha1_of_its_pkcs8():
    key = create_key("rsa", "pem", "mine")
    assert key.private_key.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    private = serialization.load_pem_private_key(key.private_key.encode(), None)
    assert private.key_size == 2048
    der = private.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert key.fingerprint == hashlib.sha1(der).digest().hex(":")
    assert import_key(key.public_key.encode()).public_key == key.public_key


def test_a_created_ed25519_key_is_in_openssh_form():
    key = create_key("ed25519", "pem", "mine")
    private = serialization.load_ssh_private_key(key.private_key.encode(), None)
    line = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    assert key.public_key == line.decode()
    blob = base64.b64decode(line.split()[1])
    assert base64.b64decode(key.fingerprint) == hashlib.sha256(blob).digest()


def test_a_ppk_file_is_what_puttygen_writes():
    private = serialization.load_ssh_private_key(PUTTY_ED25519_PEM, None)
    assert _ppk(private, "c").splitlines() == PUTTY_ED25519_PPK.splitlines()
    private = serialization.load_ssh_private_key(PUTTY_RSA_PEM, None)
    assert _ppk(private, "c").splitlines() == PUTTY_RSA_PPK.splitlines()


def test_a_created_ppk_names_its_pair():
    text = create_key("ed25519", "ppk", "my key").private_key
    assert text.startswith("PuTTY-User-Key-File-2: ssh-ed25519\r\n")
    assert "Comment: my key\r\n" in text
