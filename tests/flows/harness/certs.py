"""Certificate authorities and certificates of our own, made by openssl."""

import pathlib
import subprocess


def openssl(*args, **kw):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, **kw)


def new_key(path, kind="ec"):
    if kind == "ec":
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)
    elif kind == "p384":
        openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", path)
    else:
        openssl("genrsa", "-out", path, "2048")
    path.chmod(0o600)


class Authority:
    """A root that signs leaves directly; its own database keeps what was revoked."""

    def __init__(self, folder, name="test root"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cert = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        new_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-days", "365", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", self.cert)
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text("1000\n")
        (self.folder / "crlnumber").write_text("01\n")
        (self.folder / "ca.conf").write_text(f"""
[ca]
default_ca = ours
[ours]
database = {self.folder}/index.txt
serial = {self.folder}/serial
crlnumber = {self.folder}/crlnumber
new_certs_dir = {self.folder}
certificate = {self.cert}
private_key = {self.key}
default_md = sha256
default_days = 90
default_crl_days = 30
policy = any
copy_extensions = none
unique_subject = no
[any]
commonName = supplied
""")

    def issue(self, name, names=(), kind="ec", usage="serverAuth", days=None, extra=""):
        """A Certificate; `days` = (not before, not after) in days from now."""
        cert = self.folder / f"{name}.pem"
        key = self.folder / f"{name}.key"
        new_key(key, kind)
        request = self.folder / f"{name}.csr"
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        san = ",".join(f"DNS:{n}" if not n[0].isdigit() else f"IP:{n}" for n in names)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text("basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
                              f"extendedKeyUsage={usage}\n"
                              + (f"subjectAltName={san}\n" if san else "") + extra)
        when = []
        if days:
            import datetime
            now = datetime.datetime.utcnow()
            for flag, offset in zip(("-startdate", "-enddate"), days):
                when += [flag, (now + datetime.timedelta(days=offset)).strftime("%Y%m%d%H%M%SZ")]
        openssl("ca", "-batch", "-config", self.folder / "ca.conf", "-in", request, "-out", cert,
                "-notext", "-extfile", extensions, *when)
        return Certificate(cert, key)

    def revoke(self, certificate):
        openssl("ca", "-config", self.folder / "ca.conf", "-revoke", certificate.cert)

    def crl(self):
        path = self.folder / "crl.pem"
        openssl("ca", "-config", self.folder / "ca.conf", "-gencrl", "-out", path)
        return path


class Certificate:
    def __init__(self, cert, key):
        self.cert = cert
        self.key = key
