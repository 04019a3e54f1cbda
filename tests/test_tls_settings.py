"""The TLS files of a provider's settings: what can't be used is one line that names the variable."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers.certificates import Certificates
from wigwag.errors import SettingsError
from wigwag.settings.tls import is_loopback, tls_context, tls_files_set

pytestmark = pytest.mark.needs("openssl")


@dataclass(frozen=True)
class Files:
    tls_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None


def refusal(files: Files) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        tls_context(files, "WIGWAG_X_")
    assert str(caught.value).startswith(f"{caught.value.variable} ")
    assert "\n" not in str(caught.value)
    return caught.value


def test_certificates_and_host_names_are_verified(certificates: Certificates) -> None:
    for files in (
        Files(),
        Files(certificates.ca),
        Files(certificates.ca, certificates.client_cert, certificates.client_key),
    ):
        context = tls_context(files, "WIGWAG_X_")
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("field", ["tls_ca_file", "tls_cert_file"])
def test_a_file_that_is_not_there(field: str) -> None:
    error = refusal(Files(**{field: Path("/not/here.pem")}))
    assert error.variable == f"WIGWAG_X_{field.upper()}"
    assert "there is no file /not/here.pem" in str(error)


@pytest.mark.parametrize("field", ["tls_ca_file", "tls_cert_file"])
@pytest.mark.parametrize("content", ["", "SUHUNTER2", "-----BEGIN CERTIFICATE-----\nhunter2\n"])
def test_a_file_that_holds_something_else(tmp_path: Path, field: str, content: str) -> None:
    path = tmp_path / "file.pem"
    path.write_text(content)
    error = refusal(Files(**{field: path}))
    assert error.variable == f"WIGWAG_X_{field.upper()}"
    assert "hunter2" not in str(error).lower()


def test_a_key_without_its_certificate() -> None:
    error = refusal(Files(tls_key_file=Path("/not/here.key")))
    assert error.variable == "WIGWAG_X_TLS_CERT_FILE"
    assert "WIGWAG_X_TLS_KEY_FILE is: they go together" in str(error)


def test_a_key_of_another_certificate(certificates: Certificates) -> None:
    error = refusal(Files(None, certificates.client_cert, certificates.server_key))
    assert "does not fit its key" in str(error)


def test_a_key_with_a_passphrase_is_not_asked_for(certificates: Certificates, tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    command = ["openssl", "pkey", "-in", str(certificates.client_key), "-aes256", "-out", str(key)]
    subprocess.run([*command, "-passout", "pass:word"], check=True, capture_output=True)
    refusal(Files(None, certificates.client_cert, key))


def test_which_files_are_set() -> None:
    assert tls_files_set(Files()) == []
    assert tls_files_set(Files(tls_key_file=Path("x"))) == ["tls_key_file"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("10.0.0.1", False),
        ("redis", False),
        ("", False),
        ("localhost.example.com", False),
    ],
)
def test_what_is_this_machine(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected
