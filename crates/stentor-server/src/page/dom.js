// Small helpers for elements. Text from the server or the visitor is only ever set as text.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** Makes an element: properties, then children (elements or strings). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** What each select holds, so that one that somebody has opened is not made anew for nothing. */
const filled = new WeakMap();

/** Fills a select with `[value, label, disabled]` rows and keeps what was chosen where it is still there. */
export function fill(select, rows, preferred) {
  const state = JSON.stringify(rows);
  if (filled.get(select) === state) {
    if (rows.some(([value, , disabled]) => value === preferred && !disabled)) select.value = preferred;
    return;
  }
  filled.set(select, state);
  const wanted = [preferred, select.value].find((value) => rows.some((row) => row[0] === value && !row[2]));
  select.replaceChildren(
    ...rows.map(([value, label, disabled = false]) => make("option", { value, disabled }, label)),
  );
  if (wanted !== undefined) select.value = wanted;
}

/** Shows an error until it is dismissed or something else succeeds. */
export function showError(error) {
  byId("alert-text").textContent = describe(error);
  byId("alert").hidden = false;
}

export function clearError() {
  byId("alert").hidden = true;
  byId("alert-text").textContent = "";
}

/** An error in one sentence or two. */
export function describe(error) {
  const parts = [error?.message || String(error)];
  if (error?.code === "invalid_api_key") parts.push("Enter a key under Settings.");
  if (error?.retryAfter) parts.push(`Try again in ${error.retryAfter} s.`);
  if (error?.requestId) parts.push(`(request ${error.requestId})`);
  return parts.join(" ");
}

/** `75` → `1:15`. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
