// A voice of one's own: a file, or a recording made here, sent to the server.

import { request } from "./api.js";
import { byId, clock, describe } from "./dom.js";
import { LONGEST, Recording } from "./recorder.js";
import { loadVoices } from "./settings.js";

/** While the microphone is open. */
let recording = null;
/** The last recording, unless a file was chosen since. */
let recorded = null;
let address = null;

export function start() {
  byId("record").addEventListener("click", () => (recording ? finish() : begin()));
  byId("voice-file").addEventListener("change", () => keep(null));
  byId("upload").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
}

const say = (text) => (byId("upload-status").textContent = text);

async function begin() {
  const button = byId("record");
  button.disabled = true;
  const mine = new Recording();
  try {
    await mine.start((level, seconds) => {
      byId("level").value = level;
      byId("record-time").textContent = clock(seconds);
      if (seconds >= LONGEST && recording === mine) finish();
    });
    recording = mine;
    button.textContent = "Stop recording";
    say("Recording.");
  } catch (error) {
    say(describe(error));
  }
  button.disabled = false;
  button.focus();
}

async function finish() {
  const done = recording;
  recording = null;
  byId("record").textContent = "Record";
  byId("level").value = 0;
  byId("voice-file").value = "";
  keep(await done.stop());
  say("Recorded. Listen to it, then upload it.");
}

/** Shows the recording that an upload would send. */
function keep(file) {
  recorded = file;
  if (address) URL.revokeObjectURL(address);
  address = file && URL.createObjectURL(file);
  const player = byId("recording");
  player.hidden = !file;
  if (file) player.src = address;
  else player.removeAttribute("src");
}

async function send() {
  const file = byId("voice-file").files[0] ?? recorded;
  if (!file) return say("Choose a file or record something first.");
  const form = new FormData();
  form.set("name", byId("voice-name").value.trim());
  form.set("audio_sample", file, file.name);
  const language = byId("voice-language").value.trim();
  if (language) form.set("language", language);
  byId("upload-button").disabled = true;
  say("Uploading…");
  try {
    const response = await request("v1/audio/voices", { method: "POST", form });
    await tell(await response.json());
    byId("upload").reset();
    keep(null);
  } catch (error) {
    say(describe(error));
  }
  byId("upload-button").disabled = false;
  byId("upload-button").focus();
}

async function tell(voice) {
  const usable = await loadVoices(voice.id);
  const who = voice.models?.length ? ` It speaks with ${voice.models.join(", ")}.` : " No model here can clone it yet.";
  const next = usable ? " It is chosen above." : who;
  say([`${voice.name} is stored.${next}`, ...(voice.notes ?? [])].join(" "));
}
