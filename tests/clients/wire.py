"""What a failure in the middle looks like to clients that are no SDK, and that the next request is served."""

import http.client
import json
import os
import socket
import subprocess
import urllib.parse
import urllib.request

from checks import check, run

URL = os.environ["STENTOR_URL"]
HOST = urllib.parse.urlparse(URL).netloc
BROKEN = {
    "model": "fake",
    "input": "A fine beginning.\n\n" * 3 + "Then it goes wrong {fail}.",
    "normalize": False,
    "cache": False,
}
FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm", "srt", "vtt", "json"]


def address(netloc):
    host, port = netloc.rsplit(":", 1)
    return host, int(port)


def head(body, version="1.1"):
    return (
        f"POST /v1/audio/speech HTTP/{version}\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()


def raw(body, version="1.1"):
    """All that comes until the connection ends, and whether it ended in order."""
    body = json.dumps(body).encode()
    with socket.create_connection(address(HOST), timeout=60) as connection:
        connection.sendall(head(body, version) + body)
        got = b""
        try:
            while piece := connection.recv(65536):
                got += piece
        except ConnectionResetError:
            return got, False
        return got, True


def next_request_is_served():
    request = urllib.request.Request(f"{URL}/v1/audio/speech", json.dumps({"input": "The next one."}).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200 and len(answer.read()) > 1000


@check("HTTP/1.1: a failure in the middle leaves out the final chunk, in every format")
def chunked():
    for kind in FORMATS:
        got, _ = raw({**BROKEN, "response_format": kind})
        assert got.startswith(b"HTTP/1.1 200 OK\r\n") and b"transfer-encoding: chunked" in got, got[:300]
        assert not got.endswith(b"0\r\n\r\n"), f"{kind} looks complete"
    next_request_is_served()


@check("HTTP/1.1: http.client raises IncompleteRead")
def incomplete_read():
    connection = http.client.HTTPConnection(HOST, timeout=60)
    connection.request("POST", "/v1/audio/speech", json.dumps(BROKEN))
    try:
        connection.getresponse().read()
    except http.client.IncompleteRead as error:
        assert error.partial
    else:
        raise AssertionError("it looks complete")
    next_request_is_served()


@check("HTTP/1.0: who has no chunks sees the connection reset, not its end")
def without_chunks():
    got, in_order = raw({**BROKEN, "response_format": "pcm"}, "1.0")
    assert b"transfer-encoding" not in got and b" 200 OK\r\n" in got, got[:300]
    assert not in_order, f"{len(got)} bytes look complete"
    fine, in_order = raw({**BROKEN, "input": "A fine beginning.\n\n" * 3, "response_format": "pcm"}, "1.0")
    assert in_order and len(fine) > 2400, "a complete answer ends in order"


@check("curl ends with status 18, and with an event for events")
def curl():
    def post(body):
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--noproxy", "*", "--data", json.dumps(body), f"{URL}/v1/audio/speech"],
            capture_output=True,
            check=False,
        )

    ended = post(BROKEN)
    assert ended.returncode == 18 and ended.stdout, (ended.returncode, ended.stderr)
    ended = post({**BROKEN, "stream_format": "sse"})
    assert ended.returncode == 0, ended.stderr
    last = ended.stdout.strip().split(b"\n\n")[-1]
    assert last.startswith(b"event: speech.audio.error\ndata: {"), last
    assert ended.stdout.count(b"speech.audio.done") == 0
    next_request_is_served()


class House:
    """A Wyoming client."""

    def __init__(self):
        self.connection = socket.create_connection(address(os.environ["STENTOR_WYOMING"]), timeout=60)
        self.file = self.connection.makefile("rb")

    def send(self, kind, **data):
        data = json.dumps(data).encode()
        header = json.dumps({"type": kind, "version": "1.8.0", "data_length": len(data)}).encode()
        self.connection.sendall(header + b"\n" + data)

    def events(self):
        """Type, data and payload of each event, until the connection ends."""
        while line := self.file.readline():
            header = json.loads(line)
            data = json.loads(self.file.read(header.get("data_length", 0)) or b"{}")
            yield header["type"], data, self.file.read(header.get("payload_length", 0))

    def until(self, last):
        told = []
        for event in self.events():
            told.append(event)
            if event[0] == last:
                break
        return told


@check("Wyoming: synthesize gives audio-start, audio-chunks, audio-stop")
def wyoming():
    house = House()
    house.send("synthesize", text="Hello there.", voice={"name": "rms"})
    kinds = [kind for kind, _, _ in house.until("audio-stop")]
    assert kinds == ["audio-start", *["audio-chunk"] * (len(kinds) - 2), "audio-stop"] and len(kinds) > 2, kinds


@check("Wyoming: a failure in the middle is an error event and no audio-stop, and the next request is served")
def wyoming_broken():
    house = House()
    house.send("select-program", name="fake")
    # It is read like any other text, but for what stands in a link.
    house.send("synthesize", text=BROKEN["input"].replace("wrong {fail}", "[wrong{fail}](/x/)"))
    told = list(house.events())
    kinds = [kind for kind, _, _ in told]
    assert kinds[0] == "audio-start" and kinds[-1] == "error" and "audio-stop" not in kinds, kinds
    assert told[-1][1]["code"] == "synthesis_failed", told[-1]
    wyoming()


if __name__ == "__main__":
    run("wire")
