"""A list of named checks; each raises when the user of a client would notice that something is wrong."""

import os
import sys
import time
import traceback

CHECKS = []


def check(name):
    """Adds a function to the list under a name that says what holds."""

    def note(function):
        CHECKS.append((name, function))
        return function

    return note


def tell(client, name, seconds, error=None):
    print(f"{'FAILED' if error else 'ok':6}  {client:15} {name} ({seconds:.1f} s)", flush=True)
    if error:
        print("".join(traceback.format_exception(error)), flush=True)


def run(client):
    """Runs those whose name holds the words of CHECKS_ONLY; gives the number of failures as the exit status."""
    only = os.environ.get("CHECKS_ONLY", "")
    failed = 0
    for name, function in CHECKS:
        if only not in name:
            continue
        began = time.monotonic()
        try:
            function()
            tell(client, name, time.monotonic() - began)
        except Exception as error:  # noqa: BLE001
            failed += 1
            tell(client, name, time.monotonic() - began, error)
    sys.exit(min(failed, 100))
