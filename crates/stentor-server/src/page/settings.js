// What is asked for beside the text: model, voice, language, format, speed, seed and the engine's own parameters.

import { getJson, request } from "./api.js";
import { byId, fill, make, showError } from "./dom.js";
import { current } from "./models.js";

/** By id, of the chosen model. */
let voices = new Map();
/** Of the last request for voices; an older answer changes nothing. */
let asked = 0;
/** The model whose voices are shown; none after a failure, so that it is tried again. */
let loaded = null;
/** What the fields for parameters were made from. */
let shown = "";

/** A sentence to hear a voice by, in its language. */
const SAMPLES = {
  en: "Hello! This is how I sound when I read to you.",
  es: "¡Hola! Así sueno cuando te leo en voz alta.",
  fr: "Bonjour ! Voici ma voix quand je vous fais la lecture.",
  de: "Hallo! So klinge ich, wenn ich dir etwas vorlese.",
  it: "Ciao! Questa è la mia voce quando leggo per te.",
  pt: "Olá! É assim que eu soo quando leio para você.",
  hi: "नमस्ते! जब मैं आपके लिए पढ़ता हूँ तो मेरी आवाज़ ऐसी होती है।",
  ja: "こんにちは。私の声はこのように聞こえます。",
  zh: "你好！这就是我朗读时的声音。",
};

export function start() {
  byId("model").addEventListener("change", () => {
    showModel();
    loadVoices();
  });
  byId("voice").addEventListener("change", showVoice);
  byId("delete-voice").addEventListener("click", deleteVoice);
  byId("speed").addEventListener("input", () => (byId("speed-value").textContent = byId("speed").value));
}

/** Takes over what was read about models. */
export function update() {
  const { models, preferred } = current();
  const before = byId("model").value;
  const rows = models.map(({ id, installed }) =>
    installed === false ? [id, `${id} (not installed)`, true] : [id, id === preferred ? `${id} (default)` : id],
  );
  fill(byId("model"), rows, before || preferred);
  showModel();
  if (byId("model").value !== loaded) loadVoices();
}

/** Reads the list of voices again and chooses `wanted`, if the model can use it. Returns whether it can. */
export async function loadVoices(wanted = null) {
  const model = byId("model").value;
  if (!model) return false;
  asked += 1;
  const mine = asked;
  loaded = model;
  try {
    const list = await getJson(`v1/audio/voices?model=${encodeURIComponent(model)}`);
    if (mine !== asked) return false;
    voices = new Map(list.voices.map((voice) => [voice.id, voice]));
  } catch (error) {
    if (mine !== asked) return false;
    loaded = null;
    showError(error);
    return false;
  }
  const rows = [...voices.values()].map((voice) => [voice.id, label(voice)]);
  fill(byId("voice"), [["", "The model's own"], ...rows], wanted ?? byId("voice").value);
  showVoice();
  return wanted !== null && voices.has(wanted);
}

/** The request's fields, without text and format. */
export function fields() {
  const chosen = { model: byId("model").value || undefined, voice: byId("voice").value || undefined };
  if (byId("language").value) chosen.language = byId("language").value;
  if (Number(byId("speed").value) !== 1) chosen.speed = Number(byId("speed").value);
  if (byId("seed").value.trim() !== "") chosen.seed = Number(byId("seed").value);
  for (const input of byId("parameters").querySelectorAll("[data-name]")) {
    const value = input.type === "checkbox" ? input.checked : input.value;
    if (String(value) === input.dataset.initial || value === "") continue;
    chosen[input.dataset.name] = typeof value === "boolean" || input.dataset.text ? value : Number(value);
  }
  return chosen;
}

/** The request that lets the chosen voice be heard. */
export function sample() {
  const language = byId("language").value || voices.get(byId("voice").value)?.languages?.[0] || "en";
  return { ...fields(), input: SAMPLES[language.split("-")[0]] ?? SAMPLES.en };
}

function label(voice) {
  const name = voice.name && voice.name !== voice.id ? `${voice.name} (${voice.id})` : voice.id;
  return voice.languages?.length ? `${name}, ${voice.languages.join(", ")}` : name;
}

function showModel() {
  const { models, details } = current();
  const id = byId("model").value;
  const model = models.find((model) => model.id === id);
  const languages = (model?.languages ?? []).map((tag) => [tag, tag]);
  fill(byId("language"), [["", "The voice's"], ...languages], byId("language").value);
  showParameters(id, details.get(id));
}

/** Uploaded voices have a date; only these can be deleted. */
function showVoice() {
  byId("delete-voice").hidden = voices.get(byId("voice").value)?.created_at === undefined;
}

async function deleteVoice() {
  const id = byId("voice").value;
  if (!confirm(`Delete the voice ${voices.get(id)?.name ?? id}?`)) return;
  try {
    await request(`v1/audio/voices/${encodeURIComponent(id)}`, { method: "DELETE" });
    byId("voice").focus();
  } catch (error) {
    showError(error);
  }
  await loadVoices("");
}

/** Made anew only when they change, so that what somebody has set stays. */
function showParameters(id, detail) {
  const state = JSON.stringify([id, detail?.parameters, detail?.cues]);
  if (state === shown) return;
  shown = state;
  const specs = detail?.parameters ?? [];
  const box = byId("parameters");
  box.replaceChildren(box.querySelector("legend"), ...specs.map(parameter));
  box.hidden = specs.length === 0;
  const note = byId("parameters-note");
  note.hidden = !detail || Boolean(detail.parameters);
  note.textContent = "Its parameters are shown once the model is loaded.";
  showCues(detail?.cues ?? []);
}

/** The field of one parameter, by its kind. */
function parameter({ name, kind, description }) {
  const id = `parameter-${name}`;
  const input = make("input", { id });
  Object.assign(input.dataset, { name, initial: String(kind.default) });
  input.setAttribute("aria-describedby", `${id}-help`);
  const title = make("label", { htmlFor: id }, name.replaceAll("_", " "));
  const help = make("span", { id: `${id}-help`, className: "quiet" }, description);
  if (kind.type === "bool") {
    Object.assign(input, { type: "checkbox", checked: kind.default });
  } else if (kind.type === "text") {
    Object.assign(input, { type: "text", value: kind.default });
    input.dataset.text = "true";
  } else {
    const step = kind.type === "integer" ? 1 : 0.01;
    Object.assign(input, { type: "number", min: kind.min, max: kind.max, step, value: kind.default });
    title.append(make("output", { htmlFor: id }, ` ${kind.min} to ${kind.max}, usually ${kind.default}`));
  }
  return make("div", {}, title, input, help);
}

/** Buttons that put a cue into the text. */
function showCues(cues) {
  const insert = (cue) => {
    const text = byId("input");
    text.setRangeText(cue, text.selectionStart, text.selectionEnd, "end");
    text.dispatchEvent(new Event("input"));
    text.focus();
  };
  const buttons = cues.map((cue) => {
    const button = make("button", { type: "button", className: "small" }, cue);
    button.addEventListener("click", () => insert(cue));
    return button;
  });
  byId("cues").replaceChildren(...buttons);
  byId("cues").hidden = cues.length === 0;
}
