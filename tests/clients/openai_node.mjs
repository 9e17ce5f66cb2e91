// openai-node as its users use it. Files go to STENTOR_FILES, where files.py looks at them.

import assert from "node:assert/strict";
import { createWriteStream, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const { STENTOR_URL, STENTOR_LOCKED_URL, STENTOR_FILES, STENTOR_KEY, STENTOR_RARE_KEY, CHECKS_ONLY = "" } = process.env;
const NAME = `node-${VERSION}`;
const FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"];
const SENTENCE = "Dr. Smith paid $2.5 million on May 5th, and it wasn't a lot.";
const LONG = Array(12).fill(SENTENCE).join(" ");
// The fake engine takes half a second for each paragraph, and never remembers what it said.
const SLOW = { model: "fake", voice: "one", response_format: "pcm", normalize: false, cache: false };
const slow = (paragraphs) => "A slow paragraph {slow n=50}.\n\n".repeat(paragraphs);
// It speaks the first paragraphs, and fails on the last.
const BROKEN = { ...SLOW, input: "A fine beginning.\n\n".repeat(3) + "Then it goes wrong {fail}." };

const client = (options = {}, url = STENTOR_URL) =>
  new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-anything", ...options });
const hello = { model: "tts-1", voice: "alloy", input: "Hello." };
const bytesOf = async (response) => Buffer.from(await response.arrayBuffer());
const number = async (name) => (await client().models.retrieve("fake"))[name];
const events = (text) =>
  text.split("\n").filter((line) => line.startsWith("data: ")).map((line) => JSON.parse(line.slice(6)));

async function nextRequestIsServed() {
  assert.ok((await bytesOf(await client().audio.speech.create(hello))).length > 1000);
}

async function waitUntilIdle() {
  const end = Date.now() + 30_000;
  while ((await number("chunks_active")) > 0) {
    assert.ok(Date.now() < end, "the engine works for a client that has left");
    await new Promise((done) => setTimeout(done, 50));
  }
}

async function fails(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `it should have been ${kind.name}: ${error.stack}`);
    return error;
  }
  throw new Error(`it should have been ${kind.name}`);
}

const checks = {
  async "create gives each of the six formats"() {
    for (const format of FORMATS) {
      const body = { ...hello, model: "gpt-4o-mini-tts", input: SENTENCE, response_format: format };
      const response = await client().audio.speech.create(body);
      writeFileSync(join(STENTOR_FILES, `${NAME}-create.${format}`), await bytesOf(response));
    }
  },

  async "response.body streams each of the six formats to a file"() {
    for (const format of FORMATS) {
      const response = await client().audio.speech.create({ ...hello, input: LONG, response_format: format });
      const file = createWriteStream(join(STENTOR_FILES, `${NAME}-streamed.${format}`));
      await pipeline(Readable.fromWeb(response.body), file);
    }
  },

  async "the first chunk of a long text comes before the rest is spoken"() {
    const before = await number("chunks_done");
    const reader = (await client().audio.speech.create({ ...SLOW, input: slow(12) })).body.getReader();
    const { value } = await reader.read();
    assert.ok(value.length > 0);
    assert.ok((await number("chunks_done")) - before < 6, "most of it had been spoken before anything was sent");
    let rest = 0;
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) rest += piece.value.length;
    assert.ok(rest > 12 * 2400, `${rest}`);
  },

  async "stream_format sse gives deltas, then done with usage"() {
    const body = { ...hello, input: LONG, response_format: "flac" };
    const whole = await bytesOf(await client().audio.speech.create(body));
    const response = await client().audio.speech.create({ ...body, model: "gpt-4o-mini-tts", stream_format: "sse" });
    assert.equal(response.headers.get("content-type"), "text/event-stream");
    const told = events(await response.text());
    const last = told.pop();
    assert.ok(told.length > 1 && told.every((event) => event.type === "speech.audio.delta"));
    assert.ok(Buffer.concat(told.map((event) => Buffer.from(event.audio, "base64"))).equals(whole));
    assert.equal(last.type, "speech.audio.done");
    assert.equal(last.usage.total_tokens, last.usage.input_tokens + last.usage.output_tokens);
  },

  async "voices, instructions, speed and fields of our own"() {
    const speak = async (more) => (await client().audio.speech.create({ ...hello, model: "builtin", ...more })).headers;
    for (const [voice, spoken] of [["onyx", "rms"], ["rms", "rms"], [{ id: "slt" }, "slt"]]) {
      assert.equal((await speak({ voice })).get("x-voice"), spoken);
    }
    const headers = await speak({ instructions: "Softly.", speed: 1.5, language: "en-us", seed: 7, colour: 3 });
    assert.equal(headers.get("x-ignored-params"), "colour, instructions");
  },

  async "errors are of the SDK's classes, with code and param"() {
    const rows = [
      [{ model: "nobody" }, OpenAI.NotFoundError, "model_not_found", "model"],
      [{ voice: "nobody" }, OpenAI.BadRequestError, "voice_not_found", "voice"],
      [{ input: "" }, OpenAI.BadRequestError, "missing_field", "input"],
      [{ speed: 9 }, OpenAI.BadRequestError, "invalid_value", "speed"],
    ];
    for (const [more, kind, code, param] of rows) {
      const error = await fails(kind, () => client().audio.speech.create({ ...hello, ...more }));
      assert.deepEqual([error.code, error.param, error.type], [code, param, "invalid_request_error"]);
      assert.ok(error.requestID);
    }
    const failure = { ...SLOW, input: "Wrong {fail}." };
    const error = await fails(OpenAI.InternalServerError, () => client().audio.speech.create(failure));
    assert.equal(error.code, "synthesis_failed");
  },

  async "a wrong key is AuthenticationError, too many requests are RateLimitError with Retry-After"() {
    const speak = (apiKey) => client({ apiKey, maxRetries: 0 }, STENTOR_LOCKED_URL).audio.speech.create(hello);
    assert.equal((await fails(OpenAI.AuthenticationError, () => speak("sk-wrong"))).code, "invalid_api_key");
    assert.ok((await bytesOf(await speak(STENTOR_KEY))).length > 1000);
    const error = await fails(OpenAI.RateLimitError, async () => {
      for (let i = 0; i < 3; i += 1) await speak(STENTOR_RARE_KEY);
    });
    const seconds = Number(error.headers.get("retry-after"));
    assert.ok(error.code === "rate_limit_exceeded" && seconds >= 1 && seconds <= 60, `${seconds}`);
  },

  async "models are listed and each can be retrieved, OpenAI's names too"() {
    const ids = [];
    for await (const model of client().models.list()) ids.push(model.id);
    assert.ok(ids.includes("builtin") && ids.includes("fake"), `${ids}`);
    for (const name of ["builtin", "tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15"]) {
      assert.equal((await client().models.retrieve(name)).object, "model");
    }
  },

  async "requests at once are all served"() {
    const bodies = Array.from({ length: 8 }, (_, i) => ({ ...hello, input: `Number ${i} of eight.` }));
    const answers = await Promise.all(bodies.map((body) => client().audio.speech.create(body).then(bytesOf)));
    assert.ok(answers.every((bytes) => bytes.length > 1000));
  },

  async "a timeout is APIConnectionTimeoutError, and nothing is left behind"() {
    const body = { ...SLOW, input: slow(1), stream: false };
    const impatient = client({ timeout: 400, maxRetries: 1 });
    await fails(OpenAI.APIConnectionTimeoutError, () => impatient.audio.speech.create(body));
    await waitUntilIdle();
    await nextRequestIsServed();
  },

  async "a client that leaves in the middle frees the engine, and is served when it asks again"() {
    const same = client();
    const stop = new AbortController();
    const response = await same.audio.speech.create({ ...SLOW, input: slow(100) }, { signal: stop.signal });
    await response.body.getReader().read();
    stop.abort();
    await waitUntilIdle();
    assert.ok((await bytesOf(await same.audio.speech.create({ ...SLOW, input: slow(1) }))).length > 2400);
  },

  async "a failure in the middle is an error to who reads it whole, and the next request is served"() {
    const response = await client().audio.speech.create(BROKEN);
    await fails(Error, () => response.arrayBuffer());
    await nextRequestIsServed();
  },

  async "a failure in the middle is an error to who streams, and the next request is served"() {
    const reader = (await client().audio.speech.create(BROKEN)).body.getReader();
    let got = 0;
    await fails(Error, async () => {
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) got += piece.value.length;
    });
    assert.ok(got > 0, "what came before was handed over");
    await nextRequestIsServed();
  },

  async "a failure in the middle is an event to who reads events, and the next request is served"() {
    const response = await client().audio.speech.create({ ...BROKEN, stream_format: "sse" });
    const told = events(await response.text());
    assert.equal(told[0].type, "speech.audio.delta");
    assert.equal(told.at(-1).type, "speech.audio.error");
    assert.equal(told.at(-1).error.code, "synthesis_failed");
    assert.ok(told.every((event) => event.type !== "speech.audio.done"));
    await nextRequestIsServed();
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  if (!name.includes(CHECKS_ONLY)) continue;
  const began = Date.now();
  const line = () => `${NAME.padEnd(15)} ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`;
  try {
    await check();
    console.log(`ok      ${line()}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${line()}\n${error.stack}`);
  }
}
process.exit(failed);
