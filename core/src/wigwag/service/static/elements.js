// The page's elements. What comes from the network is only ever set as text.

export const at = (id) => document.getElementById(id);

export function make(tag, { className = "", text = "", ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Written only where it changed: a screen reader, or a selection, is not disturbed each second.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function duration(seconds) {
  const parts = [Math.floor(seconds / 3600), Math.floor((seconds / 60) % 60), Math.floor(seconds % 60)];
  return parts
    .map((part, index) => `${part} ${["h", "min", "s"][index]}`)
    .slice(parts.findIndex((part) => part > 0))
    .join(" ");
}

// A button that says Pause, and then Resume.
export function onPause(button, onChange) {
  button.onclick = () => {
    const isPaused = button.dataset.paused !== "true";
    button.dataset.paused = isPaused;
    write(button.firstChild, isPaused ? "Resume" : "Pause");
    onChange(isPaused);
  };
}

// A button that copies what an element says.
export function onCopy(button, element, copied) {
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(element.textContent);
      write(button.firstChild, "Copied");
      say(() => copied);
      setTimeout(() => write(button.firstChild, "Copy"), 2_000);
    } catch {
      getSelection().selectAllChildren(element); // no clipboard here: ready for Ctrl-C
    }
  };
}

const SAY_EVERY_MS = 5_000;
const SAY_AFTER_MS = 300; // with what comes right behind
let saidAt = -Infinity;
let toSay = null;
let timer = 0;

// For who hears the page: at most a sentence every few seconds, the newest; `text` is asked for when it is said.
export function say(text) {
  toSay = text;
  if (timer) return;
  timer = setTimeout(
    () => {
      timer = 0;
      saidAt = performance.now();
      at("said").textContent = toSay();
    },
    Math.max(SAY_AFTER_MS, saidAt + SAY_EVERY_MS - performance.now()),
  );
}
