// The state of the models and the queue, read again every few seconds while the page is seen.

import { getJson, modelPath, request } from "./api.js";
import { byId, make, showError } from "./dom.js";

const EVERY = 5000;

const rows = new Map();
let seen = { models: [], details: new Map(), preferred: null };
let listener = () => {};
let reading = null;

/** What was last read: `models` as listed, `details` by id, `preferred`: the default model's id. */
export const current = () => seen;

/** Begins; `onRead` is called after each reading. */
export function watch(onRead) {
  listener = onRead;
  setInterval(() => document.hidden || refresh(), EVERY);
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  return refresh();
}

/** Reads now; readings do not overlap. */
export function refresh() {
  reading ??= read().finally(() => (reading = null));
  return reading;
}

async function read() {
  try {
    const [ready, list] = await Promise.all([
      request("readyz", { accept: [503] }).then((response) => response.json()),
      getJson("v1/models"),
    ]);
    const installed = list.data.filter((model) => model.installed !== false);
    let refused = null;
    const details = await Promise.all(
      installed.map((model) => getJson(modelPath(model.id)).catch((error) => void (refused = error))),
    );
    seen = {
      models: list.data,
      details: new Map(details.filter(Boolean).map((detail) => [detail.id, detail])),
      preferred: ready.model,
    };
    showReadiness(ready);
    showQueue(refused);
    showRows();
    listener();
  } catch (error) {
    byId("readiness").textContent = error.status === 401 ? "An API key is needed: see Settings." : error.message;
  }
}

function showReadiness(ready) {
  const reason = ready.reason ? `: ${ready.reason}` : "";
  const serving = ready.serving ? ` (${ready.serving} speaks)` : "";
  byId("readiness").textContent = `Server ${ready.status}${serving}${reason}`;
}

function showQueue(refused) {
  const total = (field) => [...seen.details.values()].reduce((sum, detail) => sum + detail[field], 0);
  byId("queue").textContent = refused
    ? `More is shown with an API key. (${refused.message})`
    : `${total("requests_running")} being spoken, ${total("requests_waiting")} waiting.`;
}

/** Rows stay the same elements, so that a button keeps the focus. */
function showRows() {
  for (const [id, row] of rows) {
    if (seen.models.some((model) => model.id === id)) continue;
    row.item.remove();
    rows.delete(id);
  }
  for (const model of seen.models) {
    if (!rows.has(model.id)) rows.set(model.id, newRow(model.id));
    showRow(rows.get(model.id), model, seen.details.get(model.id));
  }
}

function newRow(id) {
  const state = make("span", { className: "state" });
  const button = make("button", { type: "button", className: "small" });
  const facts = make("div", { className: "quiet" });
  const item = make("li", {}, make("strong", {}, id), " ", state, facts, button);
  button.addEventListener("click", () => act(id, button));
  byId("models").append(item);
  return { item, state, facts, button };
}

function showRow(row, model, detail) {
  const state = model.installed === false ? "not installed" : (detail?.state ?? "");
  row.state.textContent = state;
  row.state.className = `state ${state}`;
  row.facts.textContent = facts(model, detail).join(" · ");
  row.button.hidden = !["ready", "unloaded", "failed"].includes(state);
  row.button.dataset.verb = state === "ready" ? "unload" : "load";
  if (!row.button.disabled) row.button.textContent = state === "ready" ? "Unload" : "Load";
  row.button.ariaLabel = `${row.button.textContent} ${model.id}`;
}

function facts(model, detail) {
  const list = [];
  if (model.name && model.name !== model.id) list.push(model.name);
  if (detail?.device) list.push([detail.device, detail.precision].filter(Boolean).join(" "));
  if (detail?.memory_bytes) list.push(`${Math.round(detail.memory_bytes / 2 ** 20)} MiB`);
  if (detail?.requests_running) list.push(`${detail.requests_running} being spoken`);
  if (detail?.requests_waiting) list.push(`${detail.requests_waiting} waiting`);
  if (detail?.worker_restarts) list.push(`restarted ${detail.worker_restarts}×`);
  if (detail?.why_unloaded) list.push(`unloaded: ${detail.why_unloaded}`);
  if (detail?.degraded) list.push(detail.degraded);
  if (detail?.reason) list.push(detail.reason);
  return list;
}

async function act(id, button) {
  const verb = button.dataset.verb;
  button.disabled = true;
  button.textContent = verb === "load" ? "Loading…" : "Unloading…";
  try {
    await request(`v1/models/${verb}`, { method: "POST", json: { model: id } });
  } catch (error) {
    showError(error);
  }
  button.disabled = false;
  button.focus();
  await refresh();
}
