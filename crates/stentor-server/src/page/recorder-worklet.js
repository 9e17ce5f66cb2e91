// Hands the microphone's samples to the page, some at a time. Runs on the browser's audio thread.

const BLOCK = 2048;

class Recorder extends AudioWorkletProcessor {
  #block = new Float32Array(BLOCK);
  #filled = 0;

  process(inputs) {
    const channel = inputs[0]?.[0];
    if (!channel) return true;
    if (this.#filled + channel.length > BLOCK) this.#flush();
    this.#block.set(channel, this.#filled);
    this.#filled += channel.length;
    return true;
  }

  #flush() {
    this.port.postMessage(this.#block.slice(0, this.#filled));
    this.#filled = 0;
  }
}

registerProcessor("recorder", Recorder);
