"""Redirects, certificates: whom a transfer listens to."""

import subprocess

import pytest

from intriguing_tf import zoo
from tests.zoo import fault_server as faults


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/y"])
def test_redirects_to_other_schemes(server, entry, target):
    server.faults[entry] = [faults.redirect(target)]
    with pytest.raises(zoo.DownloadError, match="refused"):
        zoo.path("test/entry")


def test_a_redirect_within_http_is_followed(server, entry, content):
    server.faults[entry] = [faults.redirect("/elsewhere")]
    server.files["/elsewhere"] = content
    assert zoo.path("test/entry").read_bytes() == content


def test_endless_redirects(server, entry):
    server.faults[entry] = [faults.always(faults.redirect(entry))]
    with pytest.raises(zoo.DownloadError, match="TooManyRedirects"):
        zoo.path("test/entry")


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """A server with a certificate that requests trusts."""
    import ssl

    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=127.0.0.1",
    ]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(
            [*command, "-keyout", key, "-out", certificate], check=True, capture_output=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("openssl is needed to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with faults.serving(context) as running:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        yield running


def test_redirects_from_https_to_http(tls, server, entry, content):
    tls.faults["/mirror"] = [faults.redirect(server.url(entry))]
    server.files["/catalogue.json"] = faults.catalogue(
        faults.card("test/entry", content, urls=[tls.url("/mirror")])
    )
    server.faults[entry] = [faults.status(404)]
    with pytest.raises(zoo.DownloadError, match="from https to http"):
        zoo.path("test/entry")
    tls.files["/mirror"] = content
    assert zoo.path("test/entry").read_bytes() == content


def test_a_certificate_of_a_stranger(tls, tmp_path, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.setenv("INTRIGUING_TF_ZOO", tls.address)
    with pytest.raises(zoo.DownloadError, match="SSLError"):
        zoo.list()
