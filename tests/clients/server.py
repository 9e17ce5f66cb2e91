"""Starts a server under test on a free port of this machine, and ends it by its process id."""

import hashlib
import os
import subprocess
import tempfile
import threading
from pathlib import Path

FAKE = """engine = "fake"
title = "An engine without a model"
licence = "MIT"
languages = ["en-us"]
rank = -1
voice_kinds = ["preset", "reference"]
[voices]
default = "one"
[voices.names]
en-us = ["one", "two"]
"""
KEY = "sk-clients-0123456789abcdef"
# Of a client that may ask once a minute.
RARE_KEY = "sk-clients-rare-0123456789"


def keys_file():
    """Hashes of the two keys, as an operator has them."""
    entry = '[keys.{}]\nsha256 = "{}"\n{}'
    digest = lambda key: hashlib.sha256(key.encode()).hexdigest()
    return entry.format("usual", digest(KEY), "") + entry.format("rare", digest(RARE_KEY), "requests_per_minute = 1\n")


class Server:
    """`with Server(program) as server`: `url` and `wyoming` (host:port) are its addresses."""

    def __init__(self, program, keys=False):
        self.folder = tempfile.TemporaryDirectory(prefix="clients-")
        under = Path(self.folder.name)
        for name in ("data", "models", "voices"):
            (under / name).mkdir()
        (under / "models" / "fake.toml").write_text(FAKE)
        (under / "keys.toml").write_text(keys_file())
        arguments = ["--listen", "127.0.0.1:0", "--wyoming", "127.0.0.1:0", "--drain-delay", "0"]
        for name in ("data-dir", "models", "voices"):
            arguments += [f"--{name}", str(under / name.removesuffix("-dir"))]
        if keys:
            arguments += ["--api-keys-file", str(under / "keys.toml")]
        self.command = [program, *arguments, "serve"]
        self.log = under / "server.log"

    def __enter__(self):
        environment = {**os.environ, "NO_COLOR": "1"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=self.folder.name
            )
        # It says where it listens as soon as the model has spoken.
        killer = threading.Timer(90, self.process.kill)
        killer.start()
        line = self.process.stdout.readline()
        killer.cancel()
        if not line:
            raise RuntimeError(f"the server did not start: {self.log.read_text()}")
        self.url = line.split()[-1]
        self.wyoming = self.log.read_text().split("tcp://")[1].split()[0].strip("\x1b")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.folder.cleanup()
