// Draws the sound so far, and how far it has been heard.

/** Peaks kept at most; a longer sound is shown more coarsely. */
const MOST = 16_384;

export class Waveform {
  #canvas;
  #peaks = [];
  /** Samples that one peak stands for. */
  #span = 240;
  #open = { peak: 0, count: 0 };
  #samples = 0;
  #colours = null;

  constructor(canvas) {
    this.#canvas = canvas;
    const redraw = () => {
      this.#colours = null;
      this.draw(this.fraction ?? 0);
    };
    new ResizeObserver(redraw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  }

  clear() {
    this.#peaks = [];
    this.#span = 240;
    this.#open = { peak: 0, count: 0 };
    this.#samples = 0;
    this.draw(0);
  }

  add(samples) {
    for (const sample of samples) {
      this.#open.peak = Math.max(this.#open.peak, Math.abs(sample));
      this.#open.count += 1;
      if (this.#open.count >= this.#span) this.#close();
    }
    this.#samples += samples.length;
  }

  /** `fraction` of the sound so far has been heard. */
  draw(fraction) {
    this.fraction = fraction;
    const scale = devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.#canvas.clientWidth * scale));
    const height = Math.max(1, Math.round(this.#canvas.clientHeight * scale));
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;
    const pen = this.#canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const { heard, rest } = this.#palette();
    const step = Math.max(1, Math.round(2 * scale));
    const head = fraction * width;
    for (let x = 0; x < width; x += step) {
      const from = Math.floor((x / width) * this.#peaks.length);
      const to = Math.max(from + 1, Math.floor(((x + step) / width) * this.#peaks.length));
      let peak = 0;
      for (let i = from; i < to && i < this.#peaks.length; i += 1) peak = Math.max(peak, this.#peaks[i]);
      const tall = Math.max(scale, peak * height * 0.94);
      pen.fillStyle = x < head ? heard : rest;
      pen.fillRect(x, (height - tall) / 2, Math.max(1, step - scale), tall);
    }
    if (fraction > 0) {
      pen.fillStyle = heard;
      pen.fillRect(Math.min(head, width - 2 * scale), 0, 2 * scale, height);
    }
  }

  #close() {
    this.#peaks.push(this.#open.peak);
    this.#open = { peak: 0, count: 0 };
    if (this.#peaks.length < MOST) return;
    this.#peaks = Array.from({ length: MOST / 2 }, (_, i) => Math.max(this.#peaks[2 * i], this.#peaks[2 * i + 1]));
    this.#span *= 2;
  }

  #palette() {
    if (!this.#colours) {
      const style = getComputedStyle(this.#canvas);
      const colour = (name) => style.getPropertyValue(name).trim();
      this.#colours = { heard: colour("--accent"), rest: colour("--wave") };
    }
    return this.#colours;
  }
}
