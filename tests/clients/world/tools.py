"""The clients and the server as programs on this machine: finds them, and installs or builds what is missing."""

import importlib.util
import json
import os
import shutil
import sys

from world.process import environment, run, succeed
from world.report import Failure
from world.server import REPOSITORY

CACHE = REPOSITORY / "target" / "clients"
INSTALL_SECONDS = 600
BUILD_SECONDS = 3600

# Programs (and a module of Python), and the Debian packages they come in.
PACKAGES = {
    "acme-tiny": "acme-tiny",
    "certbot": "certbot",
    "curl": "curl",
    "dehydrated": "dehydrated",
    "ensurepip": "python3-venv",
    "lego": "lego",
    "node": "nodejs",
    "npm": "npm",
    "openssl": "openssl",
    "uacme": "uacme",
    "ualpn": "uacme",
    "unshare": "util-linux",
}


def ready(names, binary=None, cargo_options=()):
    """The path of each named tool. What is missing is installed or built first; nothing is ever left out."""
    made = {
        "chancery": lambda: binary or build(["--bin", "chancery"], cargo_options),
        "instant-acme": lambda: build(["--example", "instant_acme_client"], cargo_options),
        "newest certbot": newest_certbot,
        "acme-client": node_modules,
    }
    install_packages({name for name in names if name in PACKAGES and not shutil.which(name)})
    return {name: made[name]() if name in made else shutil.which(name) for name in sorted(names)}


def install_packages(programs):
    """Installs the Debian packages of `programs`, with a fresh package list if the one at hand does not do."""
    packages = sorted({PACKAGES[program] for program in programs})
    if not packages:
        return
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    install = [*as_root, "apt-get", "install", "--yes", "--no-install-recommends", *packages]
    options = {"env": environment(DEBIAN_FRONTEND="noninteractive"), "timeout": INSTALL_SECONDS}
    if run(*install, **options).code != 0:
        succeed(*as_root, "apt-get", "update", **options)
        succeed(*install, **options)


def virtual_environment(directory):
    """Makes an empty virtual environment of Python. Debian has a package of its own for what puts pip into it."""
    if importlib.util.find_spec("ensurepip") is None:
        install_packages({"ensurepip"})
    succeed(sys.executable, "-m", "venv", "--clear", directory, timeout=INSTALL_SECONDS)


def newest_certbot():
    """The newest certbot of PyPI, in a virtual environment."""
    venv = CACHE / "venv"
    if not (venv / "bin" / "certbot").exists():
        virtual_environment(venv)
        succeed(venv / "bin" / "pip", "install", "--quiet", "certbot", timeout=INSTALL_SECONDS)
    return venv / "bin" / "certbot"


def node_modules():
    """The directory of Node.js modules that holds acme-client."""
    home = CACHE / "node"
    if not (home / "node_modules" / "acme-client").exists():
        home.mkdir(parents=True, exist_ok=True)
        succeed("npm", "install", "--no-audit", "--no-fund", "--prefix", home, "acme-client", timeout=INSTALL_SECONDS)
    return home / "node_modules"


def build(target, cargo_options):
    """The executable of a cargo target of this package."""
    command = ["cargo", "build", "--message-format", "json", *target, *cargo_options]
    built = succeed(*command, cwd=REPOSITORY, timeout=BUILD_SECONDS)
    artifacts = (json.loads(line) for line in built.stdout.splitlines())
    executables = [artifact["executable"] for artifact in artifacts if artifact.get("executable")]
    if len(executables) != 1:
        raise Failure(f"cargo built {executables} for {target}, where one executable was expected")
    return executables[0]
