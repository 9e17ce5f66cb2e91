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
import json
import os
import shutil
import statistics
import subprocess
from pathlib import Path

from chatterbox_rows import prepare, reference, tokens_of
from measuring import RATE, ROOT, Server


def median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def compare(options, variant: str, folder: Path, threads: int) -> None:
    program, ours, peer = options.target / "release/stentor", {}, None
    body = {"voice": "default", "input": options.text}
    try:
        for precision in options.precision:
            how = ["--device", "cpu", "--threads", str(threads), "--precision", precision]
            ours[precision] = Server(program, folder.parents[1], how)
            tokens = tokens_of(ours[precision].speak(body | {"stream_tokens": 0})["samples"], options.text)
        peer = reference(options.python, [variant, folder, threads, options.text], threads)
        peer.speak(2)
        runs = {"reference": []}
        for _ in range(options.rounds):
            for precision, server in ours.items():
                for name, window in [("whole", {"stream_tokens": 0}), ("windows", {})]:
                    runs.setdefault(f"ours, {precision}, {name}", []).append(server.speak(body | window))
                runs["reference"].append(peer.speak(tokens))
        prefill = peer.ask(-1)["stages"]["t3 voice and text"]
    finally:
        for server in ours.values():
            server.stop()
        if peer:
            peer.stop()
    title = f"{variant}, {threads} threads, {tokens} speech tokens, {peer.about['text_tokens']} text tokens"
    print(f"\n{title}, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
    table(runs)
    stages(options, folder, (tokens, peer.about["text_tokens"], threads), (runs["reference"], prefill))


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
        try:
            folder = prepare(options.target / "release", data, variant)
            for threads in options.threads:
                compare(options, variant, folder, threads)
        finally:
            if not options.keep:
                shutil.rmtree(data, ignore_errors=True)


if __name__ == "__main__":
    main()
