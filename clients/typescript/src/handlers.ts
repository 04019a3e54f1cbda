// biome-ignore lint/suspicious/noExplicitAny: the public methods say what each kind of handler takes.
type AnyHandler = (...args: any[]) => unknown;

/** Handlers by key. One that throws hurts no other. */
export class Handlers {
  readonly #byKey = new Map<unknown, Set<{ readonly handler: AnyHandler }>>();
  readonly #failed: (error: unknown, key: unknown) => void;

  /** `failed` is told what a handler threw, and by which key it was called. */
  constructor(failed: (error: unknown, key: unknown) => void) {
    this.#failed = failed;
  }

  /** Returns what takes the handler back. */
  add(key: unknown, handler: AnyHandler): () => void {
    const entry = { handler }; // so that a function given twice is two handlers
    let entries = this.#byKey.get(key);
    if (!entries) this.#byKey.set(key, (entries = new Set()));
    entries.add(entry);
    return () => {
      entries.delete(entry);
      if (!entries.size && this.#byKey.get(key) === entries) this.#byKey.delete(key);
    };
  }

  /** Whether there are handlers. Those added meanwhile are not called, nor those taken back. */
  call(key: unknown, ...args: unknown[]): boolean {
    const entries = this.#byKey.get(key);
    if (!entries) return false;
    for (const entry of [...entries]) {
      if (entries.has(entry)) {
        try {
          const result = entry.handler(...args) as PromiseLike<unknown> | undefined;
          result?.then?.(undefined, (error: unknown) => this.#failed(error, key));
        } catch (error) {
          this.#failed(error, key);
        }
      }
    }
    return true;
  }

  clear(): void {
    for (const entries of this.#byKey.values()) entries.clear(); // those that are being called, too
    this.#byKey.clear();
  }
}
