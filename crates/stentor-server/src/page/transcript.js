// The text once more, with the word that is being spoken marked.

import { make } from "./dom.js";

export class Transcript {
  #box;
  #words = [];
  /** What no word has been reported of yet. */
  #rest = null;
  /** Code points of the text before `#rest`. */
  #place = 0;
  #now = -1;

  constructor(box) {
    this.#box = box;
  }

  /** Shows `text`, of which no word has been spoken. */
  begin(text) {
    this.#words = [];
    this.#place = 0;
    this.#now = -1;
    this.#rest = document.createTextNode(text);
    this.#box.replaceChildren(make("span", { className: "to-come" }, this.#rest));
    this.#box.hidden = false;
    this.#box.scrollTop = 0;
  }

  /** Words with times and places in the text, ascending. */
  add(words) {
    for (const word of words) {
      if (word.start_char < this.#place) continue;
      const before = this.#take(word.start_char);
      const span = make("span", {}, this.#take(word.end_char));
      this.#rest.parentNode.before(before, span);
      this.#words.push({ start: word.start, end: word.end, span });
    }
  }

  /** Marks the word that is spoken at `seconds`. */
  mark(seconds) {
    const now = this.#find(seconds);
    if (now === this.#now) return;
    this.#words[this.#now]?.span.classList.remove("now");
    this.#now = now;
    const span = this.#words[now]?.span;
    if (!span) return;
    span.classList.add("now");
    this.#reveal(span);
  }

  /** Nothing is spoken any more. */
  end() {
    this.#words[this.#now]?.span.classList.remove("now");
    this.#now = -1;
  }

  /** All of it has been spoken, also what is no word. */
  finish() {
    this.#rest?.parentNode.classList.remove("to-come");
  }

  /** The last word that has begun, unless it has ended. */
  #find(seconds) {
    let low = 0;
    let high = this.#words.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#words[middle].start <= seconds) low = middle + 1;
      else high = middle;
    }
    return low > 0 && seconds < this.#words[low - 1].end ? low - 1 : -1;
  }

  /** Cuts the text up to a code point off `#rest`. */
  #take(place) {
    let units = 0;
    const text = this.#rest.data;
    for (; this.#place < place && units < text.length; this.#place += 1) {
      units += text.codePointAt(units) > 0xffff ? 2 : 1;
    }
    const taken = this.#rest;
    this.#rest = taken.splitText(units);
    return taken;
  }

  /** Scrolls the box only, never the page. */
  #reveal(span) {
    const box = this.#box.getBoundingClientRect();
    const word = span.getBoundingClientRect();
    if (word.top < box.top || word.bottom > box.bottom) {
      this.#box.scrollTop += word.top - box.top - this.#box.clientHeight / 3;
    }
  }
}
