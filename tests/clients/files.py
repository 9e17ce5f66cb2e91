"""Every file that a client wrote, and some of its own, through ffprobe, ffmpeg, opusinfo and flac.

`NAME.FORMAT` must last as long as `NAME.wav` where that is there.
"""

import array
import json
import os
import re
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from checks import CHECKS, check, run

URL = os.environ["STENTOR_URL"]
FILES = Path(os.environ["STENTOR_FILES"])
# Container, codec and sample rate as ffprobe tells them.
TELLS = {
    "mp3": ("mp3", "mp3", 24_000),
    "opus": ("ogg", "opus", 48_000),
    "aac": ("aac", "aac", 24_000),
    "flac": ("flac", "flac", 24_000),
    "wav": ("wav", "pcm_s16le", 24_000),
}
BARE = ["-f", "s16le", "-ar", "24000", "-ac", "1"]
# What a decoder adds: the lead-in of MP3 and AAC, and the filling of the last frame.
SLACK = {"mp3": 0.1, "aac": 0.2, "opus": 0.021, "flac": 0.0005, "pcm": 0.0005, "wav": 0.0}
LONG = "The first sentence is short. The second one, however, goes on for a while before it comes to its end. " * 3


def tool(*command):
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 0, f"{command[0]}: {ended.stderr.decode()}"
    return ended


def seconds(path):
    """Decodes all of a file; not a word of complaint is allowed. It is no silence."""
    bare = BARE if path.suffix == ".pcm" else []
    rate = "48000" if path.suffix == ".opus" else "24000"
    command = ["ffmpeg", "-nostdin", "-v", "error", *bare, "-i", str(path), "-f", "s16le", "-ar", rate, "-"]
    ended = tool(*command)
    assert not ended.stderr, ended.stderr.decode()
    samples = array.array("h", ended.stdout)
    assert max(samples) > 1000, "it is silent"
    return len(samples) / int(rate)


def look(path):
    """Asserts container, codec, rate and channels; gives the seconds of sound."""
    kind = path.suffix.removeprefix(".")
    length = seconds(path)
    if kind in TELLS:
        ended = tool("ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", str(path))
        assert not ended.stderr, ended.stderr.decode()
        told = json.loads(ended.stdout)
        (stream,) = told["streams"]
        found = (told["format"]["format_name"], stream["codec_name"], int(stream["sample_rate"]))
        assert found == TELLS[kind] and stream["channels"] == 1, (found, stream["channels"])
    if kind == "opus":
        assert abs(told_by_opusinfo(path) - length) < 0.0011, "the granule positions are not the sound's length"
    if kind == "flac":
        tool("flac", "--test", "--silent", str(path))
    return length


def told_by_opusinfo(path):
    """The length by granule positions and pre-skip; no warning is allowed."""
    told = tool("opusinfo", str(path)).stdout.decode()
    assert "WARNING" not in told.upper(), told
    assert int(re.search(r"Pre-skip: (\d+)", told)[1]) > 0, told
    minutes, rest = re.search(r"Playback length: (\d+)m:([\d.]+)s", told).groups()
    return 60 * int(minutes) + float(rest)


def assert_lasts(path, length, wanted, slack):
    assert -0.0005 <= length - wanted <= slack + 0.0005, f"{path.name}: {length} s in place of {wanted} s"


def speak(kind, text=LONG, **more):
    body = {"input": text, "response_format": kind, **more}
    request = urllib.request.Request(f"{URL}/v1/audio/speech", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read()


def written(folder, name, content):
    path = Path(folder) / name
    path.write_bytes(content)
    return path


def note_files():
    """A check for each file that a client has written."""
    for path in sorted(FILES.glob("*.*")):
        reference = path.with_suffix(".wav")

        def looks(path=path, reference=reference):
            length = look(path)
            if reference.exists():
                slack = SLACK[path.suffix.removeprefix(".")]
                assert_lasts(path, length, seconds(reference), slack)

        CHECKS.append((path.name, looks))


@check("whole and streamed files of each format last as long as the wav")
def whole_and_streamed():
    with tempfile.TemporaryDirectory() as folder:
        for stream in (False, True):
            wanted = seconds(written(folder, "reference.wav", speak("wav", stream=stream)))
            for kind, slack in SLACK.items():
                path = written(folder, f"stream-{stream}.{kind}", speak(kind, stream=stream))
                assert_lasts(path, look(path), wanted, slack)


@check("texts of all lengths are whole files: the last frame and the last page are there")
def lengths():
    with tempfile.TemporaryDirectory() as folder:
        for count in (1, 2, 3, 5, 8):
            text = " ".join("one two three four five six seven eight".split()[:count]) + "."
            wanted = seconds(written(folder, "reference.wav", speak("wav", text)))
            for kind, slack in SLACK.items():
                path = written(folder, f"{count}.{kind}", speak(kind, text))
                assert_lasts(path, look(path), wanted, slack)


@check("mp3 and aac bodies that are glued together play as the sum of them")
def glued():
    pieces = ["The first piece of a text.", LONG, "And here is the last one."]
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("mp3", "aac"):
            bodies = [speak(kind, piece) for piece in pieces]
            alone = sum(look(written(folder, f"{at}.{kind}", body)) for at, body in enumerate(bodies))
            together = look(written(folder, f"all.{kind}", b"".join(bodies)))
            assert abs(together - alone) < 0.0011 * len(pieces), (kind, together, alone)


@check("opus files that are glued together are a chain of streams")
def chained():
    pieces = ["The first piece of a text.", LONG, "And here is the last one."]
    with tempfile.TemporaryDirectory() as folder:
        bodies = [speak("opus", piece) for piece in pieces]
        told = tool("opusinfo", str(written(folder, "all.opus", b"".join(bodies)))).stdout.decode()
        assert "WARNING" not in told.upper(), told
        assert told.count("New logical stream") == len(pieces), told


@check("every sample rate is told by the container and lasts as long")
def rates():
    with tempfile.TemporaryDirectory() as folder:
        wanted = seconds(written(folder, "reference.wav", speak("wav", pieces_text())))
        for rate in (8000, 16000, 22050, 32000, 44100, 48000):
            for kind in ("wav", "flac", "mp3", "aac"):
                path = written(folder, f"{rate}.{kind}", speak(kind, pieces_text(), sample_rate=rate))
                ended = tool("ffprobe", "-v", "error", "-of", "json", "-show_streams", str(path))
                (stream,) = json.loads(ended.stdout)["streams"]
                assert int(stream["sample_rate"]) == rate, (kind, rate, stream["sample_rate"])
                assert abs(seconds(path) - wanted) < 0.4, (kind, rate)


def pieces_text():
    return "A sentence at another rate."


if __name__ == "__main__":
    note_files()
    run("files")
