const ignore = () => {};

/** A promise that nobody need look at: its failure is also told elsewhere. */
export const quiet = <T>(promise: Promise<T>): Promise<T> => {
  promise.catch(ignore);
  return promise;
};

/** A promise that is settled from outside. */
export class Deferred {
  readonly promise: Promise<void>;
  isSettled = false;
  isFailed = false;
  #resolve!: () => void;
  #reject!: (error: Error) => void;

  constructor() {
    this.promise = quiet(
      new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      }),
    );
  }

  resolve(): void {
    this.isSettled = true;
    this.#resolve();
  }

  reject(error: Error): void {
    this.isSettled = this.isFailed = true;
    this.#reject(error);
  }
}

/** `setTimeout`, in which 0 and Infinity mean never. In ms. */
export const after = (ms: number, callback: () => void): ReturnType<typeof setTimeout> | undefined =>
  ms > 0 && ms < 2 ** 31 ? setTimeout(callback, ms) : undefined;
