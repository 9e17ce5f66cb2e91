"""Chatterbox Turbo and Nano beside the reference implementation on the CPU: the same weights, text and amount of speech.

usage: chatterbox.py --python INTERPRETER [--variant nano|turbo ..] [--threads N ..] [--rounds N] [--text TEXT]
                     [--target FOLDER] [--no-build] [--keep]

INTERPRETER has chatterbox-tts and what it needs (crates/stentor-engine-chatterbox/reference/requirements.txt); this
script itself needs Python 3.11 alone. The weights are a hash, written for the occasion at full size (nano 2 GB, turbo 3 GB;
deleted afterwards): the sound is noise, the work is real. Beside them up to 8 GB of memory are taken.

Ours is the release build, asked over HTTP with `"cache": false`, once in windows as by default and once with
`"stream_tokens": 0`, which is how the reference works. Random weights seldom say that they are done, so ours ends at its
own bound for the text's length; the reference, its stop token masked, is then told to speak exactly as many tokens. Both
sample as by default. Both have the voice beforehand (a request warms ours up; the reference reads the same file). Turns are
taken ours, reference, ours, reference; medians count. On a shared machine only CPU seconds mean much: of the server and its
workers from /proc, of the reference from getrusage. At the end the `stages` example tells where our time goes.
"""

import argparse
import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATE = 24_000
SAMPLES_PER_TOKEN = 960
CLOSING = 3  # tokens of silence at the end
TICKS = os.sysconf("SC_CLK_TCK")
MANIFEST = """
engine = "chatterbox"
title = "Hash weights"
licence = "MIT"
languages = ["en-us"]
voice_kinds = ["preset", "reference"]
files = [
  { role = "t3", path = "t3.safetensors" },
  { role = "s3gen", path = "s3gen.safetensors" },
  { role = "ve", path = "ve.safetensors" },
  { role = "conds", path = "conds.safetensors" },
  { role = "vocab", path = "vocab.json" },
  { role = "merges", path = "merges.txt" },
  { role = "added_tokens", path = "added_tokens.json" },
]
[voices]
default = "default"
[voices.names]
en-us = ["default"]
"""


def tree(pid: int) -> list[int]:
    """A process and all that it has started."""
    pids, index = [pid], 0
    while index < len(pids):
        for task in Path(f"/proc/{pids[index]}/task").glob("*/children"):
            pids += [int(child) for child in task.read_text().split()]
        index += 1
    return pids


def cpu_seconds(pids: list[int]) -> float:
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(field[11]) + int(field[12]) for field in fields) / TICKS


def peak_kib(pids: list[int]) -> int:
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


class Ours:
    """Our server with the checkpoint as its only model."""

    def __init__(self, program: Path, data: Path, threads: int, text: str, precision: str):
        self.text = text
        args = ["serve", "--model", "bench", "--listen", "127.0.0.1:0", "--threads", str(threads), "--drain-delay", "0"]
        args += ["--device", "cpu", "--request-timeout", "0", "--data-dir", str(data), "--models", str(data / "manifests")]
        args += ["--precision", precision]
        log = open(data / f"server-{precision}.log", "w")
        self.child = subprocess.Popen([program, *args], stdout=subprocess.PIPE, stderr=log, text=True)
        self.address = self.child.stdout.readline().split()[-1].removeprefix("http://")

    def speak(self, stream_tokens: int | None) -> dict:
        body = {"model": "bench", "voice": "default", "input": self.text, "response_format": "pcm", "cache": False, "seed": 1}
        if stream_tokens is not None:
            body["stream_tokens"] = stream_tokens
        connection = http.client.HTTPConnection(self.address, timeout=600)
        pids = tree(self.child.pid)
        before, start = cpu_seconds(pids), time.perf_counter()
        connection.request("POST", "/v1/audio/speech", json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        heard = response.read(1)
        first = time.perf_counter() - start
        heard += response.read()
        wall, cpu = time.perf_counter() - start, cpu_seconds(pids) - before
        assert response.status == 200, heard
        assert not response.getheader("x-ignored-params"), response.getheader("x-ignored-params")
        return {"samples": len(heard) // 2, "first": first, "wall": wall, "cpu": cpu, "peak_kib": peak_kib(pids)}

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(60)


class Reference:
    def __init__(self, interpreter: str, arguments: list[str], threads: int):
        variables = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
        script = Path(__file__).with_name("chatterbox_reference.py")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        pipes["stderr"] = self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen([interpreter, script, *arguments], env=variables, text=True, **pipes)
        self.about = self.answer()

    def answer(self) -> dict:
        line = self.child.stdout.readline()
        if not line:
            self.log.seek(0)
            sys.exit(f"the reference has ended:\n{self.log.read()[-3000:]}")
        return json.loads(line)

    def speak(self, tokens: int) -> dict:
        print(tokens, file=self.child.stdin, flush=True)
        return self.answer()

    def stop(self) -> None:
        self.child.stdin.close()
        self.child.wait(60)


def tokens_of(samples: int, text: str) -> int:
    """Speech tokens of a run. Quiet is trimmed at both ends, so the bound for the text's length is preferred when it fits."""
    bound = 100 + 4 * len(text)
    seconds = (bound + CLOSING) * SAMPLES_PER_TOKEN - samples
    return bound if 0 <= seconds < RATE else samples // SAMPLES_PER_TOKEN - CLOSING


def median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def compare(options, variant: str, folder: Path, threads: int) -> None:
    program, ours, reference = options.target / "release/stentor", {}, None
    try:
        for precision in options.precision:
            ours[precision] = Ours(program, folder.parents[1], threads, options.text, precision)
            tokens = tokens_of(ours[precision].speak(0)["samples"], options.text)
        reference = Reference(options.python, [variant, str(folder), str(threads), options.text], threads)
        reference.speak(2)
        runs = {"reference": []}
        for _ in range(options.rounds):
            for precision, server in ours.items():
                for name, window in [("whole", 0), ("windows", None)]:
                    runs.setdefault(f"ours, {precision}, {name}", []).append(server.speak(window))
                runs["reference"].append(reference.speak(tokens))
        prefill = reference.speak(-1)["stages"]["t3 voice and text"]
    finally:
        for server in ours.values():
            server.stop()
        if reference:
            reference.stop()
    title = f"{variant}, {threads} threads, {tokens} speech tokens, {reference.about['text_tokens']} text tokens"
    print(f"\n{title}, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    table(runs)
    stages(options, folder, (tokens, reference.about["text_tokens"], threads), (runs["reference"], prefill))


def table(runs: dict[str, list[dict]]) -> None:
    theirs = runs["reference"]
    print("| | audio s | wall s | CPU s | RTF | CPU s per audio s | first byte s | peak MiB | CPU of reference / CPU | wall / wall |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, all_runs in runs.items():
        audio, wall, cpu = (median(all_runs, key) for key in ("samples", "wall", "cpu"))
        audio /= RATE
        first = f"{median(all_runs, 'first'):.2f}" if "first" in all_runs[0] else ""
        ratios = f"{median(theirs, 'cpu') / cpu:.2f} | {median(theirs, 'wall') / wall:.2f}"
        spread = f"{min(run['cpu'] for run in all_runs):.2f} to {max(run['cpu'] for run in all_runs):.2f}"
        peak = max(run["peak_kib"] for run in all_runs) // 1024
        print(
            f"| {name} | {audio:.2f} | {wall:.2f} | {cpu:.2f} ({spread}) | {wall / audio:.2f} | {cpu / audio:.2f} | "
            f"{first} | {peak} | {ratios} |"
        )


def stages(options, folder: Path, amounts: tuple[int, int, int], theirs: tuple[list[dict], list[float]]) -> None:
    """CPU seconds by stage. Ours come from an example, for the server doesn't tell; the reference's from its runs."""
    command = [options.target / "release/examples/stages", folder, *map(str, amounts)]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    runs, prefill = theirs
    print("\nCPU seconds by stage, ours:", ", ".join(f"{name} {cpu:.2f}" for name, (_, cpu) in ours.items()))
    names = runs[0]["stages"]
    cpu = {name: statistics.median(run["stages"][name][1] for run in runs) for name in names}
    print("reference:", ", ".join(f"{name} {seconds:.2f}" for name, seconds in cpu.items()), end="")
    print(f" (of t3: voice and text {prefill[1]:.2f})", flush=True)


def build(target: Path) -> None:
    """The server and the two helpers; release, without debug assertions."""
    cargo = ["cargo", "build", "--release", "--quiet", "--target-dir", target]
    subprocess.run([*cargo, "--package", "stentor"], cwd=ROOT, check=True)
    helpers = ["--package", "stentor-engine-chatterbox", "--example", "hash_checkpoint", "--example", "stages"]
    subprocess.run([*cargo, *helpers], cwd=ROOT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter that has the reference")
    parser.add_argument("--variant", nargs="+", default=["nano", "turbo"], choices=["nano", "turbo"])
    parser.add_argument("--precision", nargs="+", default=["f32", "f16", "int8"], choices=["f32", "f16", "int8"], help="of T3")
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--text", default="Good day.", help="each byte brings four tokens to the hundred there are anyway")
    parser.add_argument("--target", type=Path, default=Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")))
    parser.add_argument("--no-build", action="store_true", help="TARGET/release has been built")
    parser.add_argument("--keep", action="store_true", help="keep the checkpoints, in TARGET/compare")
    options = parser.parse_args()
    if not options.no_build:
        build(options.target)
    for variant in options.variant:
        data = options.target / "compare" / variant
        folder = data / "models/bench"
        (data / "manifests").mkdir(parents=True, exist_ok=True)
        (data / "manifests/bench.toml").write_text(MANIFEST)
        try:
            if not (folder / "conds.safetensors").exists():
                subprocess.run([options.target / "release/examples/hash_checkpoint", variant, folder], check=True)
            for threads in options.threads:
                compare(options, variant, folder, threads)
        finally:
            if not options.keep:
                shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
