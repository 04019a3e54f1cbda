import type { Settings } from "./options.js";

/** The page that the client runs in, and its device; in Node neither, and both are always there. */
export class Page {
  readonly #settings: Settings;
  readonly #changed: (event: Event) => void;

  constructor(settings: Settings, changed: (event: Event) => void) {
    this.#settings = settings;
    this.#changed = changed;
  }

  /** Whether connecting is to wait for it. */
  get isAway(): boolean {
    const { pauseWhenHidden, pauseWhenOffline } = this.#settings;
    return (pauseWhenHidden && this.isHidden) || (pauseWhenOffline && globalThis.navigator?.onLine === false);
  }

  /** Whether nobody looks at it. */
  get isHidden(): boolean {
    return globalThis.document?.visibilityState === "hidden";
  }

  /** Call `changed` when it is hidden or shown, goes offline or comes back. Again is no harm. */
  watch(): void {
    this.#each("addEventListener");
  }

  unwatch(): void {
    this.#each("removeEventListener");
  }

  #each(method: "addEventListener" | "removeEventListener"): void {
    globalThis.document?.[method]("visibilitychange", this.#changed);
    for (const type of ["online", "offline"]) globalThis[method]?.(type, this.#changed);
  }
}
