"""What the comparisons share: our server and peers as processes, and what each costs, told from /proc in the same way."""

import array
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
RATE = 24_000
TICKS = os.sysconf("SC_CLK_TCK")


def tree(pid: int) -> list[int]:
    """A process and all that it has started."""
    pids, index = [pid], 0
    while index < len(pids):
        for task in Path(f"/proc/{pids[index]}/task").glob("*/children"):
            pids += [int(child) for child in task.read_text().split()]
        index += 1
    return pids


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes, with that of their children who have ended and been waited for."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(sum(map(int, field[11:15])) for field in fields) / TICKS


def peak_kib(pids: list[int]) -> int:
    lines = (line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


class Meter:
    """Wall and CPU seconds of a process and its children from now on."""

    def __init__(self, pid: int):
        self.pid = pid
        self.cpu, self.start = cpu_seconds(tree(pid)), time.perf_counter()

    def wall(self) -> float:
        return time.perf_counter() - self.start

    def read(self) -> dict:
        wall, pids = self.wall(), tree(self.pid)
        return {"wall": wall, "cpu": cpu_seconds(pids) - self.cpu, "peak_kib": peak_kib(pids)}


def spoken(pcm: bytes) -> int:
    """Samples but for the silence that follows a full stop, which costs nothing and would count as speech."""
    samples = array.array("h", pcm)
    end = len(samples)
    while end and samples[end - 1] == 0:
        end -= 1
    return end


class Server:
    """Our server with the checkpoint of `data` as its only model, ready to speak; `load` is how long that took."""

    def __init__(self, program: Path, data: Path, options: list[str]):
        args = ["serve", "--model", "bench", "--listen", "127.0.0.1:0", "--drain-delay", "0", "--request-timeout", "0"]
        args += ["--data-dir", str(data), "--models", str(data / "manifests"), *options]
        start = time.perf_counter()
        self.log = data / f"server{os.getpid()}-{time.monotonic_ns()}.log"
        with open(self.log, "w") as log:
            self.child = subprocess.Popen([program, *args], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            self.address = self.child.stdout.readline().split()[-1].removeprefix("http://")
            while json.loads(self.get("/readyz"))["status"] != "ready":
                time.sleep(0.005)
        except (IndexError, OSError, KeyError) as error:
            self.child.kill()
            sys.exit(f"the server does not come up ({error!r}):\n{self.log.read_text()[-3000:]}")
        self.load = time.perf_counter() - start

    def ask(self, method: str, path: str, body: dict | None = None, client: str = "one") -> http.client.HTTPResponse:
        """A server without keys of its own takes any, and has clients take turns."""
        connection = http.client.HTTPConnection(self.address, timeout=3600)
        headers = {"authorization": f"Bearer {client}"} | ({"content-type": "application/json"} if body else {})
        connection.request(method, path, json.dumps(body) if body else None, headers)
        return connection.getresponse()

    def get(self, path: str) -> bytes:
        return self.ask("GET", path).read()

    def post(self, path: str, body: dict) -> dict:
        response = self.ask("POST", path, body)
        answer = response.read()
        assert response.status == 200, answer
        return json.loads(answer)

    def speak(self, body: dict, streams: int = 1) -> dict:
        """The whole of a request, from the client's side, or of as many at once, each by a client of its own; `first` is then the
        median. `body` is besides what makes the answer plain samples."""
        meter = Meter(self.child.pid)

        def hear(stream: int) -> tuple[int, float]:
            plain = {"model": "bench", "response_format": "pcm", "cache": False, "seed": 1 + stream}
            response = self.ask("POST", "/v1/audio/speech", plain | body, f"client-{stream}")
            heard = response.read(1)
            first = meter.wall()
            heard += response.read()
            assert response.status == 200, heard
            assert not response.getheader("x-ignored-params"), response.getheader("x-ignored-params")
            return spoken(heard), first

        with ThreadPoolExecutor(streams) as pool:
            samples, first = zip(*pool.map(hear, range(streams)), strict=True)
        return {"samples": sum(samples), "first": statistics.median(first), **meter.read()}

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait(60)
        self.child.stdout.close()


class Peer:
    """A program that answers lines of JSON, after a first line that says it is ready; `load` is how long that took."""

    def __init__(self, command: list, threads: int, variables: dict[str, str] | None = None):
        # As installed: nothing is set but the number of threads, in the ways that the libraries look at.
        count = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        environment = {**os.environ, **count, "HF_HUB_OFFLINE": "1", **(variables or {})}
        self.log = tempfile.TemporaryFile("w+")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        start = time.perf_counter()
        self.child = subprocess.Popen(list(map(str, command)), env=environment, text=True, **pipes)
        self.about = self.answer()
        self.load = time.perf_counter() - start

    def answer(self) -> dict:
        line = self.child.stdout.readline()
        if not line:
            self.log.seek(0)
            sys.exit(f"{' '.join(map(str, self.child.args))} has ended:\n{self.log.read()[-3000:]}")
        return json.loads(line)

    def ask(self, question) -> dict:
        print(json.dumps(question), file=self.child.stdin, flush=True)
        return self.answer()

    def speak(self, question) -> dict:
        """The whole of a request. Peers hand over their samples at the end, so that is when their first is there."""
        meter = Meter(self.child.pid)
        answer = self.ask(question)
        run = meter.read()
        return {**answer, "first": run["wall"], **run}

    def gemm(self) -> float:
        """FLOP per second at which a big product runs: per CPU second, or per second where a card does it."""
        self.ask({"gemm": 8})
        meter = Meter(self.child.pid)
        answer = self.ask({"gemm": 64})
        return answer["flop"] / (answer.get("seconds") or meter.read()["cpu"])

    def stop(self) -> None:
        self.child.stdin.close()
        self.child.wait(60)
        self.child.stdout.close()
        self.log.close()
