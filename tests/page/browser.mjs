// Drives Chromium over its debugging pipe, with nothing but what Node brings along.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks `is` until it says something true. */
export async function until(what, is, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await is();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`it does not happen: ${what}`);
    await sleep(25);
  }
}

export class Browser {
  #child;
  #profile = mkdtempSync(join(tmpdir(), "page-"));
  #next = 1;
  #calls = new Map();
  #session;
  /** Addresses that the page asked for, and what it complained of. */
  requests = [];
  complaints = [];

  /** Opens a window whose microphone hears a WAV file, again and again. */
  static async open(microphone, program = process.env.CHROMIUM ?? "chromium") {
    const browser = new Browser();
    await browser.#start(program, microphone);
    return browser;
  }

  async #start(program, microphone) {
    const flags = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--mute-audio"];
    flags.push("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-first-run");
    flags.push(`--use-file-for-fake-audio-capture=${microphone}`);
    flags.push("--disable-background-networking", `--user-data-dir=${this.#profile}`, "about:blank");
    this.#child = spawn(program, flags, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
    this.#child.once("error", (error) => this.#fail(error));
    this.#child.once("exit", () => this.#fail(new Error("the browser ended")));
    let rest = "";
    this.#child.stdio[4].setEncoding("utf8").on("data", (text) => {
      const messages = (rest + text).split("\0");
      rest = messages.pop();
      for (const message of messages) this.#take(JSON.parse(message));
    });
    const { targetInfos } = await this.send("Target.getTargets");
    const { targetId } = targetInfos.find((target) => target.type === "page");
    this.#session = (await this.send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await this.send(`${domain}.enable`);
  }

  #fail(error) {
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
  }

  #take({ id, result, error, method, params }) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (call && error) call.reject(new Error(error.message));
    else if (call) call.resolve(result);
    if (method === "Network.requestWillBeSent") this.requests.push(params.request.url);
    if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.exception?.description);
    if (method === "Log.entryAdded" && params.entry.level === "error") {
      this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    }
  }

  send(method, params = {}) {
    const id = this.#next++;
    const sessionId = this.#session;
    this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
  }

  /** The value of an expression in the page. */
  async ask(expression) {
    const options = { expression, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", options);
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? expression);
    return result.value;
  }

  async go(url) {
    await this.send("Page.navigate", { url });
    await until("the page is loaded", () => this.ask(`document.readyState === "complete" && location.href !== "about:blank"`));
  }

  async size(width, height, dark = false) {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    const features = [{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }];
    await this.send("Emulation.setEmulatedMedia", { features });
  }

  /** Clicks the middle of an element, as a hand would. */
  async click(selector) {
    const find = `(() => { const e = document.querySelector(${JSON.stringify(selector)});
      e.scrollIntoView({ block: "center" }); const r = e.getBoundingClientRect();
      return [r.x + r.width / 2, r.y + r.height / 2]; })()`;
    const [x, y] = await this.ask(find);
    for (const type of ["mousePressed", "mouseReleased"]) {
      await this.send("Input.dispatchMouseEvent", { type, x, y, button: "left", clickCount: 1 });
    }
  }

  async key(key, { code = key, modifiers = 0, number = 0, text } = {}) {
    const keys = { key, code, modifiers, windowsVirtualKeyCode: number };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...keys, text });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...keys });
  }

  /** Replaces what stands in a field by typing. */
  async type(selector, text) {
    await this.ask(`(() => { const e = document.querySelector(${JSON.stringify(selector)}); e.focus(); e.select?.(); })()`);
    await this.send("Input.insertText", { text });
  }

  async picture() {
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    return Buffer.from(data, "base64");
  }

  async close() {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill();
    await ended;
    rmSync(this.#profile, { recursive: true, force: true });
  }
}
