// Records the microphone and makes a WAV file of it.

/** Seconds after which it stops by itself. */
export const LONGEST = 60;

export class Recording {
  #context = null;
  #stream = null;
  #blocks = [];
  #samples = 0;

  /** Asks for the microphone; `onBlock(level, seconds)` is called while it records. */
  async start(onBlock) {
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      throw new Error("Browsers record only on pages from this machine or over https. Upload a file instead.");
    }
    // What the browser does to make calls clear takes away from a voice.
    const wanted = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    } catch (error) {
      throw new Error(`The microphone can't be used: ${error.message}`);
    }
    try {
      this.#context = new AudioContext();
      await this.#context.audioWorklet.addModule(new URL("./recorder-worklet.js", import.meta.url));
      const node = new AudioWorkletNode(this.#context, "recorder", { channelCount: 1, channelCountMode: "explicit" });
      node.port.onmessage = ({ data }) => onBlock(this.#take(data), this.#samples / this.#context.sampleRate);
      this.#context.createMediaStreamSource(this.#stream).connect(node);
      // It puts out silence; browsers run only what leads somewhere.
      node.connect(this.#context.destination);
      await this.#context.resume();
    } catch (error) {
      await this.#close();
      throw error;
    }
  }

  /** Ends it and returns a WAV file. */
  async stop() {
    const rate = this.#context.sampleRate;
    await this.#close();
    return wav(this.#blocks, this.#samples, rate);
  }

  /** Keeps a block and returns its peak. */
  #take(block) {
    this.#blocks.push(block);
    this.#samples += block.length;
    return block.reduce((peak, sample) => Math.max(peak, Math.abs(sample)), 0);
  }

  async #close() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    if (this.#context && this.#context.state !== "closed") await this.#context.close();
  }
}

/** One channel, 16 bits. */
function wav(blocks, samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples));
  const word = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * samples, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.round(Math.max(-1, Math.min(1, sample)) * 32767), true);
      at += 2;
    }
  }
  return new File([view.buffer], "recording.wav", { type: "audio/wav" });
}
