"""Runs every client against servers of its own: run.py PROGRAM FOLDER [WORDS OF THE CHECKS TO RUN]

FOLDER is where the SDKs are, or `-` to do without them.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from server import KEY, RARE_KEY, Server

HERE = Path(__file__).parent


def clients(home):
    """What is run, in order: the last one looks at the files that the others have left."""
    if home:
        for major in (3, 2):
            yield [str(home / f"python-{major}/bin/python"), str(HERE / "openai_python.py")]
        yield ["node", str(home / "node/openai_node.mjs")]
    yield [sys.executable, str(HERE / "wire.py")]
    yield [sys.executable, str(HERE / "files.py")]


def main():
    program, home = sys.argv[1], Path(sys.argv[2]).resolve() if sys.argv[2] != "-" else None
    began = time.monotonic()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="clients-files-") as files:
        with Server(program) as server, Server(program, keys=True) as locked:
            environment = {
                **{name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")},
                "STENTOR_URL": server.url,
                "STENTOR_WYOMING": server.wyoming,
                "STENTOR_LOCKED_URL": locked.url,
                "STENTOR_KEY": KEY,
                "STENTOR_RARE_KEY": RARE_KEY,
                "STENTOR_FILES": files,
                "CHECKS_ONLY": " ".join(sys.argv[3:]),
            }
            for command in clients(home):
                failed += subprocess.run(command, env=environment, check=False).returncode
            for each in (server, locked):
                if each.process.poll() is not None:
                    failed += 1
                    print(f"FAILED  the server ended by itself: {each.log.read_text()[-4000:]}")
    print(f"{failed} failed, {time.monotonic() - began:.0f} s")
    sys.exit(min(failed, 100))


main()
