"""Several models busy at once on the same cores: threads of each as many as there are cores, or each its share.

usage: crowd.py [--models N] [--rounds N] [--target FOLDER] [--no-build] [--keep]

Each model is Kokoro with weights that are a hash, in a worker of its own, and says one text after the other while the others do. Two servers,
in turns: one with a thread per core for each model, which is the default, and one with `threads` such that all of them together are as many as
the cores. What counts is audio per second of wall time, and CPU seconds for a second of audio; the first model alone is told beside it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kokoro import MANIFEST, SENTENCE, SPEED
from measuring import RATE, ROOT, Meter, Server, spoken

TIMES = 3


def prepare(target: Path, data: Path, models: int) -> list[str]:
    """As many models as asked for, all of the same files; the first is the one that a server loads at once."""
    names = ["bench", *(f"bench{index}" for index in range(2, models + 1))]
    (data / "manifests").mkdir(parents=True, exist_ok=True)
    for name in names:
        (data / f"manifests/{name}.toml").write_text(MANIFEST)
        folder = data / "models" / name
        if name == names[0] and not (folder / "voices/hash.pt").exists():
            subprocess.run([target / "release/examples/hash_model", folder], check=True)
        elif not folder.exists():
            folder.symlink_to(data / "models" / names[0])
    return names


def busy(server: Server, names: list[str]) -> dict:
    """All models at once, each of which says the text a few times."""

    def say(name: str) -> int:
        body = {"model": name, "voice": "hash", "input": SENTENCE, "speed": SPEED, "response_format": "pcm", "cache": False}
        answers = (server.ask("POST", "/v1/audio/speech", body, name) for _ in range(TIMES))
        samples = 0
        for answer in answers:
            heard = answer.read()
            assert answer.status == 200, heard
            samples += spoken(heard)
        return samples

    meter = Meter(server.child.pid)
    with ThreadPoolExecutor(len(names)) as pool:
        audio = sum(pool.map(say, names)) / RATE
    run = meter.read()
    return {"speed": audio / run["wall"], "cpu": run["cpu"] / audio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--target", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")))
    parser.add_argument("--no-build", action="store_true", help="TARGET/release has been built")
    parser.add_argument("--keep", action="store_true", help="keep the checkpoint")
    options = parser.parse_args()
    if options.models < 1 or options.rounds < 1:
        parser.error("--models and --rounds: at least 1")
    if not options.no_build:
        for what in (["stentor"], ["stentor-engine-kokoro", "--example", "hash_model"]):
            build = ["cargo", "build", "--release", "--quiet", "--target-dir", options.target, "--package", *what]
            subprocess.run(build, cwd=ROOT, check=True)
    data, servers = options.target.resolve() / "compare/crowd", {}
    cores = len(os.sched_getaffinity(0))
    try:
        names = prepare(options.target.resolve(), data, options.models)
        for threads in sorted({cores, max(1, cores // options.models)}, reverse=True):
            how = ["--device", "cpu", "--threads", str(threads)]
            servers[threads] = Server(options.target.resolve() / "release/stentor", data, how)
            busy(servers[threads], names)  # loads them
        runs = {(threads, crowd): [] for threads in servers for crowd in sorted({1, options.models})}
        for _ in range(options.rounds):
            for (threads, crowd), all_runs in runs.items():
                all_runs.append(busy(servers[threads], names[:crowd]))
    finally:
        for server in servers.values():
            server.stop()
        if not options.keep:
            shutil.rmtree(data, ignore_errors=True)
    print(f"{cores} cores, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    print("| threads of each model | models busy | audio s per s | CPU s per audio s |\n|---|---|---|---|")
    for (threads, crowd), all_runs in runs.items():
        speed, cpu = (statistics.median(run[key] for run in all_runs) for key in ("speed", "cpu"))
        print(f"| {threads} | {crowd} | {speed:.2f} | {cpu:.4f} |")


if __name__ == "__main__":
    main()
