// The page: plays a text while it is spoken, and fetches it as a file.

import { decode, getKey, request, setKey, speech } from "./api.js";
import { byId, clearError, clock, showError } from "./dom.js";
import * as models from "./models.js";
import { openSound, Take } from "./player.js";
import * as settings from "./settings.js";
import { Transcript } from "./transcript.js";
import * as upload from "./upload.js";
import { Waveform } from "./waveform.js";

const ENDINGS = { opus: "ogg" };

const wave = new Waveform(byId("wave"));
const transcript = new Transcript(byId("transcript"));
/** What is being played, if anything. */
let playing = null;
/** A download under way. */
let fetching = null;

const say = (text) => (byId("status").textContent = text);

/** Speaks a request aloud; one at a time. */
async function play(fields) {
  stop();
  clearError();
  const mine = { abort: new AbortController(), take: null };
  playing = mine;
  byId("stop").disabled = false;
  byId("notice").textContent = "";
  wave.clear();
  transcript.begin(fields.input);
  say("Waiting for the first sound…");
  let failed = null;
  try {
    mine.take = new Take(await openSound());
    if (playing !== mine) return;
    follow(mine);
    await receive(mine, fields);
  } catch (error) {
    failed = error;
  }
  if (playing !== mine) return;
  if (failed) showError(failed);
  // What came before an error is heard all the same.
  await mine.take?.drained();
  if (playing !== mine) return;
  end();
  if (!failed) transcript.finish();
  say(failed ? "Stopped by an error." : "Done.");
}

async function receive(mine, fields) {
  const body = { ...fields, response_format: "pcm", stream_format: "sse", timestamps: ["word"] };
  for await (const event of speech(body, mine.abort.signal, showHead)) {
    if (playing !== mine) return;
    if (event.type === "speech.audio.delta") {
      if (mine.take.length === 0) say("Playing.");
      wave.add(mine.take.push(decode(event.audio)));
      await mine.take.room();
    } else if (event.type === "speech.audio.timestamps") {
      transcript.add(event.words);
    }
  }
}

/** What the server did otherwise than asked. */
function showHead(headers) {
  const notes = [];
  if (headers.get("x-fallback-from")) {
    notes.push(`${headers.get("x-model")} speaks in place of ${headers.get("x-fallback-from")}.`);
  }
  if (headers.get("x-ignored-params")) notes.push(`Without effect: ${headers.get("x-ignored-params")}.`);
  byId("notice").textContent = notes.join(" ");
}

/** Moves the playhead and the marked word for as long as `mine` is playing. */
function follow(mine) {
  if (playing !== mine) return;
  const { take } = mine;
  const position = take.position();
  wave.draw(take.length ? position / take.length : 0);
  transcript.mark(position);
  const stalls = take.stalls ? `, waited for the server ${take.stalls}×` : "";
  byId("clock").textContent = take.length ? `${clock(position)} of ${clock(take.length)}${stalls}` : "";
  requestAnimationFrame(() => follow(mine));
}

function stop() {
  if (!playing) return;
  const mine = playing;
  end();
  mine.abort.abort();
  mine.take?.stop();
  say("Stopped.");
}

/** Nothing plays any more. */
function end() {
  wave.draw(0);
  playing = null;
  transcript.end();
  // A button that is switched off would lose the focus to nowhere.
  if (document.activeElement === byId("stop")) byId("play").focus();
  byId("stop").disabled = true;
}

/** Fetches the file; pressed again while it does, gives up. */
async function download() {
  if (fetching) return fetching.abort();
  const text = input();
  if (!text) return;
  const button = byId("download");
  const format = byId("format").value;
  fetching = new AbortController();
  button.textContent = "Cancel the download";
  clearError();
  try {
    const json = { ...settings.fields(), input: text, response_format: format };
    const response = await request("v1/audio/speech", { method: "POST", json, signal: fetching.signal });
    const blob = await collect(response);
    save(blob, `speech.${ENDINGS[format] ?? format}`);
    say(`Downloaded ${size(blob.size)}.`);
  } catch (error) {
    if (error.name !== "AbortError") showError(error);
    else say("The download was cancelled.");
  }
  fetching = null;
  button.textContent = "Download";
}

/** The whole body; a body that ends early is an error and not half a file. */
async function collect(response) {
  const parts = [];
  let bytes = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      throw error.name === "AbortError" ? error : new Error("Speaking failed before the file was complete.");
    });
    if (done) return new Blob(parts, { type: response.headers.get("content-type") ?? "" });
    parts.push(value);
    bytes += value.length;
    byId("download").textContent = `Cancel the download (${size(bytes)})`;
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

const size = (bytes) => (bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`);

/** The text, or nothing and a word about it. */
function input() {
  const text = byId("input").value;
  if (text.trim()) return text;
  say("Write or paste a text first.");
  byId("input").focus();
  return null;
}

function playInput() {
  const text = input();
  if (text) play({ ...settings.fields(), input: text });
}

function count() {
  const characters = [...byId("input").value].length;
  byId("count").textContent = `${characters.toLocaleString()} ${characters === 1 ? "character" : "characters"}.`;
}

function start() {
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    playInput();
  });
  byId("stop").addEventListener("click", stop);
  byId("download").addEventListener("click", download);
  byId("preview").addEventListener("click", () => play(settings.sample()));
  byId("alert-close").addEventListener("click", clearError);
  byId("input").addEventListener("input", count);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") stop();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target === byId("input")) playInput();
  });
  byId("key").value = getKey();
  byId("key").addEventListener("change", () => {
    setKey(byId("key").value);
    clearError();
    models.refresh().then(() => settings.loadVoices());
  });
  // Whatever nobody foresaw is shown too.
  addEventListener("unhandledrejection", (event) => showError(event.reason));
  addEventListener("error", (event) => showError(event.error ?? event.message));
  count();
  settings.start();
  upload.start();
  models.watch(settings.update);
}

start();
