// Uses the page as a person would, in headless Chromium: node tests/page/run.mjs PROGRAM [FOLDER FOR PICTURES [WORDS]]
//
// PROGRAM is `stentor-under-test`: the built-in model speaks, and a fake engine clones and fails when it is asked to.
// Each check says what a visitor would miss.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Browser, sleep, until } from "./browser.mjs";

const [program, pictures, only = ""] = process.argv.slice(2);
if (!program) throw new Error("usage: node tests/page/run.mjs PROGRAM [FOLDER [WORDS OF THE CHECKS TO RUN]]");

const CTRL = 2;
const ENTER = { number: 13, text: "\r" };
const FAKE = `engine = "fake"\ntitle = "An engine without a model"\nlicence = "MIT"\nlanguages = ["en-us"]\nrank = -1
voice_kinds = ["preset", "reference"]\n[voices]\ndefault = "one"\n[voices.names]\nen-us = ["one", "two"]\n`;
const TEXT = "Dr. Smith paid $5 for two shells. She sells more by the sea.";
const folder = mkdtempSync(join(tmpdir(), "page-server-"));

/** Starts the server and waits for its address. */
async function serve() {
  for (const name of ["data", "models", "voices", "downloads"]) mkdirSync(join(folder, name));
  writeFileSync(join(folder, "models", "fake.toml"), FAKE);
  const under = (name) => join(folder, name);
  const args = ["--listen", "127.0.0.1:0", "--data-dir", under("data"), "--models", under("models")];
  args.push("--voices", under("voices"), "--drain-delay", "0", "serve");
  const child = spawn(resolve(program), args, { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
  const base = await new Promise((done, fail) => {
    child.stdout.once("data", (text) => done(String(text).trim().split(/\s+/).at(-1)));
    child.once("exit", () => fail(new Error("the server ended")));
  });
  return { child, base };
}

/** A file of speech for the browser to hear in place of a microphone. */
async function microphone(base) {
  const body = { input: "The quick brown fox jumps over the lazy dog, again and again.", response_format: "wav", stream: false };
  const response = await fetch(`${base}/v1/audio/speech`, { method: "POST", body: JSON.stringify(body) });
  assert.equal(response.status, 200);
  const path = join(folder, "microphone.wav");
  writeFileSync(path, Buffer.from(await response.arrayBuffer()));
  return path;
}

const text = (page, selector) => page.ask(`document.querySelector(${JSON.stringify(selector)}).textContent`);
const shown = (page, selector) => page.ask(`!document.querySelector(${JSON.stringify(selector)}).hidden`);
const status = (page, pattern, seconds) =>
  until(`the status is ${pattern}`, async () => pattern.test(await text(page, "#status")), seconds);

/** Chooses in a list, as somebody does who opens it. */
const choose = (page, selector, value) =>
  page.ask(`(() => { const e = document.querySelector(${JSON.stringify(selector)}); e.value = ${JSON.stringify(value)};
    e.dispatchEvent(new Event("change")); return e.value; })()`);

/** Notes what is asked to be spoken and adds `extra` to it; with `offer` the built-in model has parameters. */
const BETWEEN = `{ const real = window.fetch; window.sent = []; window.fetch = async (path, options) => {
  window.authorization = options.headers.get("authorization");
  if (path === "v1/audio/speech") {
    window.sent.push(JSON.parse(options.body));
    options.body = JSON.stringify({ ...JSON.parse(options.body), ...window.extra });
  }
  const response = await real(path, options);
  if (path !== "v1/models/builtin" || !window.offer) return response;
  const number = { type: "number", min: 0, max: 2, default: 0.5 };
  const parameters = [{ name: "warmth", kind: number, description: "How warm." },
    { name: "steps", kind: { type: "integer", min: 1, max: 9, default: 4 }, description: "How many." },
    { name: "whisper", kind: { type: "bool", default: false }, description: "Quietly." }];
  return Response.json({ ...(await response.json()), parameters }); }; }`;

/** Writes down each word as it is marked. */
const WATCH = `window.marked = [];
  new MutationObserver(() => { const word = document.querySelector(".now")?.textContent;
    if (word && word !== window.marked.at(-1)) window.marked.push(word); })
    .observe(document.querySelector("#transcript"), { subtree: true, attributes: true, childList: true })`;

async function keep(page, name) {
  if (!pictures) return;
  mkdirSync(pictures, { recursive: true });
  writeFileSync(join(pictures, name), await page.picture());
}

const checks = {
  async "typing and Ctrl+Enter plays, and marks every word in its order"(page) {
    await page.type("#input", TEXT);
    await page.ask(WATCH);
    await page.key("Enter", { ...ENTER, modifiers: CTRL });
    await until("a word is marked", () => page.ask(`window.marked.length > 3`));
    assert.equal(await page.ask(`document.querySelector("#stop").disabled`), false);
    await keep(page, "playing.png");
    const drawn = await page.ask(`(() => { const c = document.querySelector("#wave");
      const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
      let rows = new Set(); for (let i = 3; i < d.length; i += 4) if (d[i]) rows.add(Math.floor(i / 4 / c.width)); return rows.size / c.height; })()`);
    assert.ok(drawn > 0.2, `the waveform has a height: ${drawn}`);
    await status(page, /^Done/);
    const marked = await page.ask(`window.marked`);
    const words = TEXT.replaceAll(/[.,]/g, "").split(" ");
    // A busy machine draws too seldom to mark each of the shortest.
    const plain = marked.map((word) => word.replaceAll(/[.,]/g, ""));
    assert.ok(plain.length >= words.length - 3, `nearly all words were marked: ${plain}`);
    let at = -1;
    for (const word of plain) {
      at = words.indexOf(word, at + 1);
      assert.ok(at >= 0, `${word} is one of the text's words, in its order: ${plain}`);
    }
    assert.ok(plain.includes("$5"), "words are shown as they were written");
    assert.equal(await text(page, "#transcript"), TEXT);
    assert.equal(await page.ask(`document.querySelectorAll(".now").length`), 0);
  },

  async "Escape stops, and the page can speak again"(page) {
    await page.type("#input", "One two three four five. ".repeat(40));
    await page.click("#play");
    await status(page, /^Playing/);
    await page.key("Escape", { number: 27 });
    await status(page, /^Stopped/);
    assert.equal(await page.ask(`document.querySelector("#stop").disabled`), true);
    await until("the server has noticed", async () => /^0 being/.test(await text(page, "#queue")));
    await page.type("#input", "Again.");
    await page.click("#play");
    await status(page, /^Done/);
  },

  async "a voice is heard by its preview"(page) {
    await page.click("#preview");
    await status(page, /^Playing/);
    assert.match(await text(page, "#transcript"), /This is how I sound/);
    await page.click("#stop");
    await status(page, /^Stopped/);
  },

  async "files are downloaded in the chosen format"(page) {
    const heads = { mp3: /^\xff[\xe2-\xff]/, wav: /^RIFF/, ogg: /^OggS/, flac: /^fLaC/, srt: /^1\r?\n00:00/ };
    const downloadPath = join(folder, "downloads");
    await page.send("Browser.setDownloadBehavior", { behavior: "allow", downloadPath });
    await page.type("#input", "A file.");
    for (const [ending, head] of Object.entries(heads)) {
      const format = ending === "ogg" ? "opus" : ending;
      await page.ask(`document.querySelector("#format").value = "${format}"`);
      await page.click("#download");
      await until(`speech.${ending}`, () => readdirSync(downloadPath).includes(`speech.${ending}`));
      await until("it is whole", () => page.ask(`document.querySelector("#download").textContent === "Download"`));
      const start = readFileSync(join(downloadPath, `speech.${ending}`)).subarray(0, 16).toString("latin1");
      assert.match(start, head, ending);
    }
  },

  async "what the server refuses is shown, and can be dismissed by keyboard"(page) {
    await page.type("#input", "<speak>No end");
    await page.click("#play");
    await until("the error", () => shown(page, "#alert"));
    assert.match(await text(page, "#alert-text"), /SSML with a mistake.*request req_/s);
    await page.ask(`document.querySelector("#alert-close").focus()`);
    await page.key("Enter", ENTER);
    assert.equal(await shown(page, "#alert"), false);
    page.complaints = page.complaints.filter((line) => !/status of 400/.test(line));
  },

  async "an error after the first sound is shown, what came before is heard, and the next text is spoken"(page) {
    assert.equal(await choose(page, "#model", "fake"), "fake");
    await until("its voices", () => page.ask(`document.querySelector("#voice").textContent.includes("two")`));
    // The words that make the fake engine fail are no words to be read out.
    await page.ask(`window.extra = { normalize: false }`);
    await page.type("#input", "A fine beginning.\n\nThen it goes wrong {fail}.");
    await page.click("#play");
    await until("the error", () => shown(page, "#alert"));
    await status(page, /^Stopped by an error/);
    assert.ok(await page.ask(`document.querySelectorAll("#transcript span").length > 3`), "the words that were heard");
    await page.ask(`window.extra = {}`);
    await page.type("#input", "Well again.");
    await page.click("#play");
    await status(page, /^Done/);
    assert.equal(await shown(page, "#alert"), false);
    await until("cues", () => shown(page, "#cues"));
    await page.click("#cues button");
    assert.match(await page.ask(`document.querySelector("#input").value`), /\[giggle\]/);
    await choose(page, "#model", "builtin");
  },

  async "parameters of the engine are offered and sent once they were changed"(page) {
    await page.ask(`window.offer = true`);
    await until("the fields", () => shown(page, "#parameters"));
    await page.type("#parameter-warmth", "1.25");
    await page.click("#parameter-whisper");
    await page.type("#input", "Warm.");
    await page.click("#play");
    await status(page, /^Done/);
    const { warmth, steps, whisper } = await page.ask(`window.sent.at(-1)`);
    assert.deepEqual({ warmth, steps, whisper }, { warmth: 1.25, steps: undefined, whisper: true });
    assert.match(await text(page, "#notice"), /Without effect: .*warmth/);
  },

  async "nothing of a text becomes part of the page"(page) {
    await page.type("#input", `<img src=x onerror="window.bad = 1"> Hello & goodbye.`);
    await page.click("#play");
    await status(page, /^Done/);
    assert.equal(await page.ask(`document.querySelectorAll("#transcript img").length + (window.bad ?? 0)`), 0);
  },

  async "states of models and a button that unloads and loads"(page) {
    const state = () => text(page, "#models li:has(.ready, .unloaded) .state");
    assert.equal(await state(), "ready");
    await page.click("#models li:has(.ready) button");
    await until("it is unloaded", async () => (await state()) === "unloaded");
    await page.click("#models li:has(.unloaded) button");
    await until("it is loaded", async () => (await state()) === "ready");
  },

  async "a key is kept for this tab and sent"(page) {
    await page.type("#key", "sk-test");
    await page.key("Tab", { number: 9 });
    assert.equal(await page.ask(`sessionStorage.getItem("stentor-key")`), "sk-test");
    assert.equal(await page.ask(`document.querySelector("#key").type`), "password");
    await until("it is sent", () => page.ask(`window.authorization === "Bearer sk-test"`));
    await page.type("#key", "");
    await page.ask(`document.querySelector("#key").value = ""; document.querySelector("#key").dispatchEvent(new Event("change"))`);
    assert.equal(await page.ask(`sessionStorage.getItem("stentor-key")`), null);
  },

  async "a phone's width needs no scrolling sideways, in the dark too"(page) {
    await page.size(360, 740, true);
    await page.type("#input", "A word_that_is_much_too_long_for_the_screen_".repeat(3));
    await sleep(300);
    const over = await page.ask(`document.documentElement.scrollWidth - innerWidth`);
    assert.ok(over <= 0, `${over} pixels too wide`);
    const paper = await page.ask(`getComputedStyle(document.body).backgroundColor`);
    assert.equal(paper, "rgb(20, 24, 28)");
    await page.ask(`scrollTo(0, 0)`);
    await keep(page, "phone.png");
    await page.size(1280, 900);
  },

  async "every field and button has a name, and Tab reaches the main ones"(page) {
    const nameless = await page.ask(`[...document.querySelectorAll("input, select, textarea, button, canvas, meter")]
      .filter((e) => !(e.labels?.length || e.textContent.trim() || e.ariaLabel || e.hidden)).map((e) => e.id)`);
    assert.deepEqual(nameless, []);
    await page.ask(`document.querySelector("#input").focus()`);
    const reached = [];
    for (let i = 0; i < 40; i += 1) {
      await page.key("Tab", { number: 9 });
      reached.push(await page.ask(`document.activeElement.id`));
    }
    for (const id of ["play", "download", "model", "voice", "preview", "format", "speed", "key", "record"]) {
      assert.ok(reached.includes(id), `Tab reaches ${id}: ${reached}`);
    }
  },

  async "a voice is recorded, uploaded, chosen, spoken with and deleted"(page) {
    await choose(page, "#model", "fake");
    await page.type("#voice-name", "Beeper");
    await page.click("#record");
    await until("three seconds", async () => /0:0[3-9]/.test(await text(page, "#record-time")));
    await page.click("#record");
    await until("it can be heard", () => page.ask(`document.querySelector("#recording").duration > 2`));
    await page.click("#upload-button");
    await until("it is stored", async () => {
      const told = await text(page, "#upload-status");
      assert.doesNotMatch(told, /request req_/);
      return /^Beeper is stored. It is chosen above/.test(told);
    });
    await page.type("#input", "With a voice of my own.");
    await page.click("#play");
    await status(page, /^Done/);
    assert.equal(await shown(page, "#alert"), false);
    const list = () => page.ask(`document.querySelector("#voice").textContent`);
    assert.match(await list(), /Beeper/);
    await page.ask(`window.confirm = () => true`);
    await page.click("#delete-voice");
    await until("it is gone", async () => !(await list()).includes("Beeper"));
  },

  // The last one, because it leaves the page.
  async "the page of the API shows every operation and sends one"(page) {
    await page.go(`${base}/docs/`);
    const document = await (await fetch(`${base}/openapi.json`)).json();
    const operations = Object.values(document.paths).flatMap((item) => Object.keys(item)).length;
    await until("all are shown", async () => (await page.ask(`document.querySelectorAll(".opblock").length`)) === operations);
    const probe = "[...document.querySelectorAll('.opblock')].find((e) => e.id.endsWith('-livez'))";
    const press = (what) => until(what, () => page.ask(`!!(${probe}).querySelector("${what}")`))
      .then(() => page.ask(`(${probe}).querySelector("${what}").click()`));
    for (const what of [".opblock-summary-control", ".try-out__btn", ".execute"]) await press(what);
    const answer = `(${probe}).querySelector(".live-responses-table .response .response-col_status")?.textContent ?? ""`;
    await until("it is answered", async () => (await page.ask(answer)).startsWith("200"));
  },
};

const { child, base } = await serve();
const page = await Browser.open(await microphone(base));
let failed = 0;
try {
  await page.size(1280, 900);
  await page.go(`${base}/`);
  await until("models are listed", () => page.ask(`document.querySelector("#model").value !== "" && document.querySelector("#voice").length > 1`));
  await page.ask(BETWEEN);
  for (const [name, check] of Object.entries(checks)) {
    if (!name.includes(only)) continue;
    try {
      await check(page);
      console.log(`ok: ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED: ${name}\n${error.stack}`);
      await keep(page, `failed-${failed}.png`);
    }
  }
  assert.deepEqual(page.complaints, [], "the browser's console has no errors");
  const foreign = page.requests.filter((url) => !url.startsWith(`${base}/`) && !/^(blob|data):/.test(url));
  assert.deepEqual(foreign, [], "nobody else was asked");
} finally {
  await page.close();
  child.kill();
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
