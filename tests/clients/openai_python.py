"""openai-python as its users use it. Files go to STENTOR_FILES, where files.py looks at them."""

import base64
import json
import multiprocessing
import os
import time
from pathlib import Path

import openai
from checks import check, run
from openai import OpenAI

URL = os.environ["STENTOR_URL"]
LOCKED_URL = os.environ["STENTOR_LOCKED_URL"]
FILES = Path(os.environ["STENTOR_FILES"])
NAME = f"python-{openai.__version__}"
FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]
SENTENCE = "Dr. Smith paid $2.5 million on May 5th, and it wasn't a lot."
LONG = " ".join([SENTENCE] * 12)
# The fake engine takes half a second for each paragraph, and never remembers what it said.
SLOW = {"model": "fake", "voice": "one", "response_format": "pcm", "extra_body": {"normalize": False, "cache": False}}
# It speaks the first paragraphs, and fails on the last.
BROKEN = {**SLOW, "input": "A fine beginning.\n\n" * 3 + "Then it goes wrong {fail}."}


def slow(paragraphs):
    return "A slow paragraph {slow n=50}.\n\n" * paragraphs


def client(url=URL, key="sk-anything", **more):
    return OpenAI(base_url=f"{url}/v1", api_key=key, **more)


def number(name):
    """From the server's own account of the fake engine."""
    return getattr(client().models.retrieve("fake"), name)


def raises(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"it should have been {kind.__name__}")


def next_request_is_served():
    assert len(client().audio.speech.create(model="tts-1", voice="alloy", input="The next one.").content) > 1000


@check("create writes each of the six formats to a file")
def six_formats():
    for kind in FORMATS:
        answer = client().audio.speech.create(
            model="gpt-4o-mini-tts", voice="alloy", input=SENTENCE, response_format=kind
        )
        answer.write_to_file(FILES / f"{NAME}-create.{kind}")


@check("with_streaming_response writes each of the six formats to a file")
def six_formats_streamed():
    for kind in FORMATS:
        with client().audio.speech.with_streaming_response.create(
            model="tts-1", voice="nova", input=LONG, response_format=kind
        ) as answer:
            assert answer.headers["transfer-encoding"] == "chunked"
            answer.stream_to_file(FILES / f"{NAME}-streamed.{kind}")


@check("the first chunk of a long text comes before the rest is spoken")
def first_chunk():
    before = number("chunks_done")
    with client().audio.speech.with_streaming_response.create(input=slow(12), **SLOW) as answer:
        chunks = answer.iter_bytes(1024)
        next(chunks)
        assert number("chunks_done") - before < 6, "most of it had been spoken before anything was sent"
        rest = sum(len(chunk) for chunk in chunks)
    assert rest > 12 * 2400, rest


@check("stream_format sse gives deltas, then done with usage")
def events():
    whole = client().audio.speech.create(model="tts-1", voice="alloy", input=LONG, response_format="flac").content
    with client().audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input=LONG, response_format="flac", stream_format="sse"
    ) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [line for line in answer.iter_lines() if line.startswith("data: ")]
    told = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [event["type"] for event in told[:-1]] == ["speech.audio.delta"] * (len(told) - 1) and len(told) > 2
    assert b"".join(base64.b64decode(event["audio"]) for event in told[:-1]) == whole
    usage = told[-1]["usage"]
    assert told[-1]["type"] == "speech.audio.done"
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0


@check("a voice is an alias, a name of the model's, or an object with an id")
def voices():
    def speak(voice, model="builtin"):
        return client().audio.speech.with_raw_response.create(model=model, voice=voice, input="Hello.").headers["x-voice"]

    assert (speak("onyx"), speak("rms"), speak("RMS.wav"), speak({"id": "slt"})) == ("rms", "rms", "rms", "slt")
    for voice in ["ballad", "verse", "marin", "cedar"]:
        assert speak(voice) and speak(voice, "fake")


@check("instructions are taken, and named as ignored")
def instructions():
    answer = client().audio.speech.with_raw_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input="Hello.", instructions="Speak like a pirate."
    )
    assert answer.headers["x-ignored-params"] == "instructions"


@check("speed is heard")
def speed():
    def length(factor):
        body = {"model": "tts-1", "voice": "alloy", "input": SENTENCE, "response_format": "pcm", "speed": factor}
        return len(client().audio.speech.create(**body).content)

    assert 1.5 < length(0.5) / length(1.0) < 2.5


@check("extra_body carries language, seed and timestamps")
def extra_body():
    def create(**extra):
        return client().audio.speech.with_raw_response.create(
            model="builtin", voice="rms", input="A quiet sentence.", response_format="wav", extra_body=extra
        )

    assert create(seed=7).content == create(seed=7).content != create(seed=8).content
    assert "x-ignored-params" not in create(language="en-us", seed=7).headers
    error = raises(openai.BadRequestError, lambda: create(language="nonsense!"))
    assert error.param == "language"
    body = {"model": "tts-1", "voice": "alloy", "input": "Two words.", "stream_format": "sse"}
    with client().audio.speech.with_streaming_response.create(**body, extra_body={"timestamps": ["word"]}) as answer:
        told = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    words = [word for event in told if event["type"] == "speech.audio.timestamps" for word in event["words"]]
    assert [word["word"] for word in words] == ["Two", "words"]


@check("errors are of the SDK's classes, with code and param")
def errors():
    def create(**other):
        body = {"model": "tts-1", "voice": "alloy", "input": "Hello.", **other}
        return client(max_retries=0).audio.speech.create(**body)

    rows = [
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found", "model"),
        ({"voice": "nobody"}, openai.BadRequestError, "voice_not_found", "voice"),
        ({"voice": "../../etc/passwd"}, openai.BadRequestError, "voice_not_found", "voice"),
        ({"input": ""}, openai.BadRequestError, "missing_field", "input"),
        ({"speed": 9}, openai.BadRequestError, "invalid_value", "speed"),
        ({"response_format": "midi"}, openai.BadRequestError, "invalid_value", "response_format"),
    ]
    for other, kind, code, param in rows:
        error = raises(kind, lambda: create(**other))
        assert (error.code, error.param, error.type) == (code, param, "invalid_request_error"), (other, error)
        assert error.request_id, "the SDK finds the id of the request"
    failure = {**SLOW, "input": "Wrong {fail}."}
    error = raises(openai.InternalServerError, lambda: client().audio.speech.create(**failure))
    assert error.code == "synthesis_failed"
    assert error.response.headers["x-should-retry"] == "false", "it would only fail again"


@check("a wrong key is AuthenticationError, the right one speaks")
def keys():
    def create(key):
        return client(LOCKED_URL, key, max_retries=0).audio.speech.create(model="tts-1", voice="alloy", input="Hello.")

    assert raises(openai.AuthenticationError, lambda: create("sk-wrong")).code == "invalid_api_key"
    assert len(create(os.environ["STENTOR_KEY"]).content) > 1000


@check("too many requests are RateLimitError with Retry-After")
def rate():
    rare = client(LOCKED_URL, os.environ["STENTOR_RARE_KEY"], max_retries=0)

    def thrice():
        for _ in range(3):
            rare.audio.speech.create(model="tts-1", voice="alloy", input="Hello.")

    error = raises(openai.RateLimitError, thrice)
    assert error.code == "rate_limit_exceeded"
    assert 1 <= int(error.response.headers["retry-after"]) <= 60


@check("models are listed and each can be retrieved, OpenAI's names too")
def models():
    listed = client().models.list()
    assert {"builtin", "fake"} <= {model.id for model in listed} and listed.object == "list"
    for name in ["builtin", "fake", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"]:
        model = client().models.retrieve(name)
        assert model.object == "model" and model.id and model.owned_by and isinstance(model.created, int), model
    assert raises(openai.NotFoundError, lambda: client().models.retrieve("nobody")).code == "model_not_found"


@check("a timeout is APITimeoutError, and the retries that follow are not left behind")
def timeouts():
    impatient = client(timeout=0.4, max_retries=1)
    body = {**SLOW, "input": slow(1), "extra_body": {**SLOW["extra_body"], "stream": False}}
    raises(openai.APITimeoutError, lambda: impatient.audio.speech.create(**body))
    wait_until_idle()
    next_request_is_served()


def wait_until_idle():
    end = time.monotonic() + 30
    while number("chunks_active") > 0:
        assert time.monotonic() < end, "the engine works for a client that has left"
        time.sleep(0.05)


@check("a client that leaves in the middle frees the engine, and is served when it asks again")
def leaving():
    same = client()
    with same.audio.speech.with_streaming_response.create(input=slow(100), **SLOW) as answer:
        next(answer.iter_bytes(1024))
    wait_until_idle()
    again = same.audio.speech.create(input=slow(1), **SLOW)
    assert len(again.content) > 2400


def chapter(index):
    """One process of a converter of books: pieces of 1800 characters, one after the other."""
    book = OpenAI(base_url=f"{URL}/v1", api_key="sk-anything", max_retries=4)
    text = f"Chapter {index}. It was a dark and stormy night, and nobody was about. "
    pieces = [(text * 30)[:1800], f"The end of chapter {index}."]
    body = {"model": "gpt-4o-mini-tts", "voice": "ballad", "speed": 1.0, "response_format": "mp3"}
    extra = {"instructions": None}
    sounds = [book.audio.speech.create(**body, input=piece, extra_body=extra).content for piece in pieces]
    (FILES / f"{NAME}-chapter-{index}.mp3").write_bytes(b"".join(sounds))
    return [len(sound) for sound in sounds]


@check("processes at once, each with the chapters of a book")
def processes():
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        sizes = pool.map(chapter, range(3))
    assert all(piece > 5_000 for pieces in sizes for piece in pieces), sizes


@check("a failure in the middle is an error to create, and the next request is served")
def broken_whole():
    for retries in (0, 2):
        raises(openai.APIConnectionError, lambda: client(max_retries=retries).audio.speech.create(**BROKEN))
        next_request_is_served()


@check("a failure in the middle is an error to who streams, and the next request is served")
def broken_stream():
    got = []

    def stream():
        with client().audio.speech.with_streaming_response.create(**BROKEN) as answer:
            got.extend(answer.iter_bytes(512))

    error = raises(Exception, stream)
    assert "incomplete" in str(error) or "closed" in str(error), repr(error)
    assert got, "what came before was handed over"
    path = FILES / "broken.partial"
    with client().audio.speech.with_streaming_response.create(**BROKEN) as answer:
        raises(Exception, lambda: answer.stream_to_file(path))
    path.unlink()
    next_request_is_served()


@check("a failure in the middle is an event to who reads events, and the next request is served")
def broken_events():
    with client().audio.speech.with_streaming_response.create(**BROKEN, stream_format="sse") as answer:
        told = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert told[0]["type"] == "speech.audio.delta"
    assert told[-1]["type"] == "speech.audio.error" and told[-1]["error"]["code"] == "synthesis_failed"
    assert all(event["type"] != "speech.audio.done" for event in told)
    next_request_is_served()


@check("a text that kills its worker again and again is an error, and the next request is served")
def deadly():
    # Of its own for each SDK: what killed once is remembered.
    text = "A fine beginning.\n\n" * 3 + f"Then {NAME} makes it die {{abort}}."
    body = {**SLOW, "input": text, "extra_body": {"normalize": False}}
    before = number("worker_restarts")
    raises(openai.APIConnectionError, lambda: client(max_retries=2).audio.speech.create(**body))
    next_request_is_served()
    assert len(client().audio.speech.create(**{**SLOW, "input": "And so is its model."}).content) > 2400
    assert number("worker_restarts") - before == 2, "the SDK's silent retries cost no further worker"


if __name__ == "__main__":
    run(NAME)
