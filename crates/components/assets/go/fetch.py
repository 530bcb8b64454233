"""Fetches the Go toolchain as the go command itself does: a module of the module proxy, checked against a pinned hash.

usage: fetch.py VERSION SHA256 DIRECTORY, for example fetch.py v0.0.1-go1.26.8.linux-amd64 30c2... go
"""
import hashlib
import os
import shutil
import sys
import urllib.request
import zipfile

version, expected, directory = sys.argv[1:]
proxy = os.environ.get("GOPROXY", "").replace("|", ",").split(",")[0]
if not proxy.startswith("http"):
    proxy = "https://proxy.golang.org"
archive = directory + ".zip"
with urllib.request.urlopen(f"{proxy}/golang.org/toolchain/@v/{version}.zip", timeout=60) as answer, open(archive, "wb") as file:
    shutil.copyfileobj(answer, file)
with open(archive, "rb") as file:
    found = hashlib.file_digest(file, "sha256").hexdigest()
if found != expected:
    sys.exit(f"{version} has the hash {found}, not {expected}")
prefix = f"golang.org/toolchain@{version}/"
with zipfile.ZipFile(archive) as files:
    for name in files.namelist():
        target = os.path.join(directory, name.removeprefix(prefix))
        if not name.startswith(prefix) or os.path.relpath(target, directory).startswith(".."):
            sys.exit(f"{name} does not belong into a toolchain")
        if name.endswith("/"):
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with files.open(name) as source, open(target, "wb") as file:
            shutil.copyfileobj(source, file)
        # Archives of modules hold no modes; what is executable in a toolchain stands in these two folders.
        if "/bin/" in name or "/pkg/tool/" in name:
            os.chmod(target, 0o755)
os.remove(archive)
