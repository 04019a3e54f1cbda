import { after } from "./deferred.js";
import { RequestTimeout, SendBufferFull } from "./errors.js";
import type { RequestOptions, Settings } from "./options.js";

export type Content = string | ArrayBuffer | ArrayBufferView;

/** A message on its way out; `id` is the correlation id of one that expects an answer. */
export interface Message {
  readonly content: Content;
  readonly id?: string | undefined;
}

const sizeOf = (content: Content) =>
  typeof content === "string" ? new TextEncoder().encode(content).length : content.byteLength;

/** The content as it is now, whatever becomes of the buffer that it was given in. */
const copyOf = (content: Content): Content => {
  if (!ArrayBuffer.isView(content)) return content.slice(0);
  return new Uint8Array(content.buffer, content.byteOffset, content.byteLength).slice();
};

/** Messages that wait for a connection, in order and within two limits. */
export class SendBuffer {
  readonly #settings: Settings;
  #messages: (Message & { readonly size: number })[] = [];
  #bytes = 0;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** Keep a message. Throws SendBufferFull where it does not fit; then nothing has changed. */
  push(message: Message): void {
    const { sendBufferMessages, sendBufferBytes } = this.#settings;
    const size = sizeOf(message.content);
    if (this.#messages.length >= sendBufferMessages || this.#bytes + size > sendBufferBytes) {
      throw new SendBufferFull(
        `not connected, and ${size} bytes do not fit beside the ${this.#messages.length} messages that wait ` +
          "(sendBufferMessages, sendBufferBytes)",
      );
    }
    this.#messages.push({ id: message.id, content: copyOf(message.content), size });
    this.#bytes += size;
  }

  /** Take the oldest. */
  shift(): Message | undefined {
    const message = this.#messages.shift();
    this.#bytes -= message?.size ?? 0;
    return message;
  }

  /** Drop the messages that a test picks. */
  drop(isDropped: (message: Message) => boolean): void {
    this.#messages = this.#messages.filter((message) => {
      const isKept = !isDropped(message);
      if (!isKept) this.#bytes -= message.size;
      return isKept;
    });
  }
}

interface Waiting {
  isSent: boolean;
  resolve(data: unknown): void;
  reject(error: unknown): void;
}

/** Who waits for which answer. */
export class Pending {
  readonly #waiting = new Map<unknown, Waiting>();
  readonly #forgotten: (id: string) => void;
  /** No other client can know it: a text that it publishes may look like an answer. */
  readonly #prefix = (globalThis.crypto?.randomUUID?.() ?? Math.random().toString(36)).slice(2, 18);
  #lastId = 0;

  /** `forgotten` is told of each request that no longer waits. */
  constructor(forgotten: (id: string) => void) {
    this.#forgotten = forgotten;
  }

  /** Call `send` with a new correlation id, and return the data of the answer. */
  ask(
    send: (id: string) => void,
    { timeout = 0, signal }: RequestOptions,
    timedOut: (ms: number) => string,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const id = `${this.#prefix}-${++this.#lastId}`;
      const settled = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
        this.#waiting.delete(id);
        this.#forgotten(id);
      };
      const waiting: Waiting = {
        isSent: false,
        resolve: (data) => {
          settled();
          resolve(data);
        },
        reject: (error) => {
          settled();
          reject(error);
        },
      };
      const aborted = () => waiting.reject(signal?.reason);
      signal?.addEventListener("abort", aborted);
      const timer = after(timeout, () => waiting.reject(new RequestTimeout(timedOut(timeout))));
      this.#waiting.set(id, waiting);
      try {
        send(id);
      } catch (error) {
        waiting.reject(error);
      }
    });
  }

  /** A request was handed to a connection, and is lost with it. */
  sent(id: unknown): void {
    const waiting = this.#waiting.get(id);
    if (waiting) waiting.isSent = true;
  }

  /** An answer came. Returns whether somebody waited for it. */
  settle(id: unknown, error: Error | undefined, data: unknown): boolean {
    const waiting = this.#waiting.get(id);
    if (error) waiting?.reject(error);
    else waiting?.resolve(data);
    return !!waiting;
  }

  /** The connection ended: the answers to what it was handed will not come; or there will be none at `all`. */
  fail(error: Error, all: boolean): void {
    for (const waiting of [...this.#waiting.values()]) if (all || waiting.isSent) waiting.reject(error);
  }
}
