# Copyright: podidentity.eks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A separate certificate authority for each cluster."""

from __future__ import annotations

import datetime
import ipaddress
import os
import pathlib
import ssl
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LIFETIME = datetime.timedelta(days=365)
#: Clocks of clients in virtual machines may be behind.
BACKDATE = datetime.timedelta(hours=1)


def write_private(path: pathlib.Path, content: bytes) -> None:
    """Write a file that only this user may read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


class CertificateAuthority:
    """Signs the certificates of one cluster's servers; all of them answer on loopback."""

    def __init__(self, directory: pathlib.Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign("kubernetes", self._key.public_key(), is_authority=True)
        #: PEM text of the authority's certificate.
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.path = directory / "ca.crt"
        self.path.write_text(self.pem, encoding="ascii")

    def issue(self, name: str, dns_names: t.Sequence[str] = ("localhost",)) -> tuple[pathlib.Path, pathlib.Path]:
        """Create a server certificate; returns the files of the certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key.public_key(), is_authority=False, dns_names=dns_names)
        certificate_path, key_path = self._directory / f"{name}.crt", self._directory / f"{name}.key"
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encoded = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(key_path, encoded)
        return certificate_path, key_path

    def client_context(self) -> ssl.SSLContext:
        """TLS settings of a client that trusts this authority and no other."""
        return ssl.create_default_context(cadata=self.pem)

    def _sign(
        self,
        common_name: str,
        public_key: ec.EllipticCurvePublicKey,
        *,
        is_authority: bool,
        dns_names: t.Sequence[str] = (),
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        authority_key = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(_name("kubernetes"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key), critical=False)
        )
        if not is_authority:
            names: list[x509.GeneralName] = [x509.DNSName(name) for name in dns_names]
            names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())
