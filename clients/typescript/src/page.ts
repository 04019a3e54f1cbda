/** The page that the client runs in, and its device; in Node neither, and both are always there. */
export class Page {
  readonly #away: () => boolean;
  readonly #changed: (event: Event) => void;

  constructor(
    minds: { readonly hidden: boolean; readonly offline: boolean },
    changed: (event: Event) => void,
  ) {
    this.#away = () =>
      (minds.hidden && isHidden()) || (minds.offline && globalThis.navigator?.onLine === false);
    this.#changed = changed;
  }

  /** Whether connecting is to wait for it. */
  get isAway(): boolean {
    return this.#away();
  }

  /** Whether nobody looks at it. */
  get isHidden(): boolean {
    return isHidden();
  }

  /** Call `changed` when it is hidden or shown, goes offline or comes back. Again is no harm. */
  watch(): void {
    globalThis.document?.addEventListener("visibilitychange", this.#changed);
    globalThis.addEventListener?.("online", this.#changed);
    globalThis.addEventListener?.("offline", this.#changed);
  }

  unwatch(): void {
    globalThis.document?.removeEventListener("visibilitychange", this.#changed);
    globalThis.removeEventListener?.("online", this.#changed);
    globalThis.removeEventListener?.("offline", this.#changed);
  }
}

const isHidden = () => globalThis.document?.visibilityState === "hidden";
