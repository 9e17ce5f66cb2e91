// Plays PCM while it arrives, and knows at any moment which second of the sound is heard.

/** The server's rate for `pcm`. The context has it too, so that pieces join without resampling each. */
export const RATE = 24_000;
/** Seconds kept in hand before the first sound, and after the stream fell behind. */
const LEAD = 0.12;
const CATCH_UP = 0.4;
/** No more than this is fetched ahead: a book is not held in memory. */
const AHEAD = 30;

let context = null;

/** Must first be called from a click or a key, else browsers stay silent. */
export async function openSound() {
  context ??= new AudioContext({ sampleRate: RATE });
  if (context.state !== "running") await context.resume();
  return context;
}

/** One text being played. */
export class Take {
  #context;
  /** Runs without a gap: where each begins, by the context's clock and in the sound, in seconds. */
  #runs = [];
  #sources = new Set();
  #end = 0;
  #length = 0;
  #odd = null;
  #stopped = false;
  #drained = null;

  constructor(soundContext) {
    this.#context = soundContext;
  }

  /** Seconds of sound that have come in. */
  get length() {
    return this.#length;
  }

  /** How often playing had to wait for the server. */
  get stalls() {
    return Math.max(0, this.#runs.length - 1);
  }

  /** Takes s16le bytes, plays them after what came before, and returns their samples. */
  push(bytes) {
    const samples = this.#toSamples(bytes);
    if (this.#stopped || samples.length === 0) return samples;
    const buffer = this.#context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(samples, 0);
    const now = this.#context.currentTime;
    if (this.#end < now || this.#runs.length === 0) {
      this.#end = now + (this.#runs.length ? CATCH_UP : LEAD);
      this.#runs.push({ at: this.#end, from: this.#length });
    }
    const source = new AudioBufferSourceNode(this.#context, { buffer });
    source.connect(this.#context.destination);
    source.onended = () => this.#ended(source);
    source.start(this.#end);
    this.#sources.add(source);
    this.#end += buffer.duration;
    this.#length += buffer.duration;
    return samples;
  }

  /** The second that is heard now. */
  position() {
    const now = this.#context.currentTime - (this.#context.outputLatency || 0);
    for (let i = this.#runs.length - 1; i >= 0; i -= 1) {
      const run = this.#runs[i];
      const until = this.#runs[i + 1]?.from ?? this.#length;
      if (now >= run.at) return Math.min(run.from + now - run.at, until);
    }
    return 0;
  }

  /** Waits until more is worth fetching. */
  async room() {
    while (!this.#stopped && this.#end - this.#context.currentTime > AHEAD) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Waits until all that was pushed has been heard. */
  async drained() {
    if (this.#stopped || this.#sources.size === 0) return;
    await new Promise((resolve) => (this.#drained = resolve));
  }

  stop() {
    this.#stopped = true;
    for (const source of this.#sources) {
      source.onended = null;
      source.stop();
      source.disconnect();
    }
    this.#sources.clear();
    this.#drained?.();
  }

  #ended(source) {
    source.disconnect();
    this.#sources.delete(source);
    if (this.#sources.size === 0) this.#drained?.();
  }

  /** A sample may be cut in two by the end of a piece. */
  #toSamples(bytes) {
    let whole = bytes;
    if (this.#odd !== null) {
      whole = new Uint8Array(bytes.length + 1);
      whole[0] = this.#odd;
      whole.set(bytes, 1);
    }
    const count = whole.length >> 1;
    this.#odd = whole.length % 2 ? whole[whole.length - 1] : null;
    const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
    const samples = new Float32Array(count);
    for (let i = 0; i < count; i += 1) samples[i] = view.getInt16(2 * i, true) / 32768;
    return samples;
  }
}
