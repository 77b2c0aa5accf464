"""Certificates for etcd and its clients, made with openssl."""

import subprocess


class Authority:
    """A CA in a folder of its own."""

    def __init__(self, folder, name):
        folder.mkdir()
        self._folder = folder
        self.cert = folder / "ca.crt"
        self._key = folder / "ca.key"
        self._run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                  "-subj", f"/CN={name}", "-keyout", self._key, "-out", self.cert)

    def issue(self, name, *alternative_names, days=30):
        """(certificate, key) for both uses; one with negative days has expired. With "IP:1.2.3.4", "DNS:a.b" for a server."""
        cert, key, request, extensions = (self._folder / f"{name}.{kind}" for kind in ("crt", "key", "csr", "ext"))
        lines = ["extendedKeyUsage=serverAuth,clientAuth"]
        if alternative_names:
            lines.append("subjectAltName=" + ",".join(alternative_names))
        extensions.write_text("\n".join(lines) + "\n")
        self._run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                  "-keyout", key, "-out", request)
        self._run("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self._key, "-CAcreateserial", "-days", str(days),
                  "-extfile", extensions, "-out", cert)
        key.chmod(0o600)
        return cert, key

    @staticmethod
    def _run(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)
