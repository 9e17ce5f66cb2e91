// The server's API: requests with the key, its errors, and its stream of events.

const KEY = "stentor-key";

/** An error that the server told, or that kept us from reaching it. */
export class ServerError extends Error {
  constructor(message, { status = 0, code = null, requestId = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, requestId, retryAfter });
  }
}

/** Kept until the tab is closed; where the browser stores nothing, until the page is left. */
let key = "";
try {
  key = sessionStorage.getItem(KEY) ?? "";
} catch {
  // Storage is switched off.
}

export const getKey = () => key;

export function setKey(value) {
  key = value.trim();
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // As above.
  }
}

/** Sends a request; paths are relative, so that the page also works below a proxy's prefix. */
export async function request(path, { method = "GET", json, form, signal, accept = [] } = {}) {
  const headers = new Headers();
  if (key) headers.set("authorization", `Bearer ${headerSafe(key)}`);
  if (json !== undefined) headers.set("content-type", "application/json");
  const body = json === undefined ? form : JSON.stringify(json);
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The server can't be reached.");
  }
  if (!response.ok && !accept.includes(response.status)) throw await toError(response);
  return response;
}

export const getJson = async (path, options) => (await request(path, options)).json();

/** The path of one model; its id may hold slashes. */
export const modelPath = (id) => `v1/models/${id.split("/").map(encodeURIComponent).join("/")}`;

/** Yields the events of a spoken request; throws what it fails with, be it before the first or in the middle. */
export async function* speech(body, signal, onHead) {
  const response = await request("v1/audio/speech", { method: "POST", json: body, signal });
  onHead?.(response.headers);
  const requestId = response.headers.get("x-request-id");
  for await (const event of events(response.body, requestId)) {
    if (event.type === "speech.audio.error") {
      throw new ServerError(event.error?.message ?? "Speaking failed.", { code: event.error?.code, requestId });
    }
    yield event;
    if (event.type === "speech.audio.done") return;
  }
  throw new ServerError("The answer ended early.", { requestId });
}

/** Server-sent events: blocks of lines, of which only `data:` matters here. */
async function* events(stream, requestId) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        if (error.name === "AbortError") throw error;
        throw new ServerError("The connection was lost while speaking.", { requestId });
      });
      if (done) return;
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split("\n").filter((line) => line.startsWith("data:"));
        if (data.length) yield JSON.parse(data.map((line) => line.slice(5).trimStart()).join("\n"));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Base64 → bytes. */
export function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function headerSafe(text) {
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new ServerError("The API key holds characters that no key has.");
}

async function toError(response) {
  const text = await response.text().catch(() => "");
  let told = {};
  try {
    told = JSON.parse(text).error ?? {};
  } catch {
    // Some proxy answered; what it says may be a whole page.
  }
  return new ServerError(told.message ?? `The server answered ${response.status} ${response.statusText}`.trim(), {
    status: response.status,
    code: told.code ?? null,
    requestId: response.headers.get("x-request-id"),
    retryAfter: response.headers.get("retry-after"),
  });
}
