// Work that several callers may ask for at once and that is done once: they share the one under way. Given to git.ts.
import type { Problem } from "../../domain/problem.ts";

interface Running<T> {
  readonly result: Promise<T>;
  readonly controller: AbortController;
  callers: number;
}

/**
 * Each caller leaves with its own signal at once; the work is aborted when the last one has left, and whoever comes after
 * that waits until it has really ended before it is started again.
 */
export class SharedWork<T> {
  readonly #work: (signal: AbortSignal) => Promise<T>;
  readonly #aborted: () => Problem;
  #running: Running<T> | undefined;

  constructor(work: (signal: AbortSignal) => Promise<T>, aborted: () => Problem) {
    this.#work = work;
    this.#aborted = aborted;
  }

  async join(signal?: AbortSignal): Promise<T> {
    for (;;) {
      if (signal?.aborted === true) throw this.#aborted();
      const running = this.#running ?? this.#begin();
      if (!running.controller.signal.aborted) return await this.#wait(running, signal);
      await this.#left(running.result, signal);
    }
  }

  /** Aborts what is under way and resolves when it has ended. */
  async stop(): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    running.controller.abort(this.#aborted());
    await running.result.catch(() => undefined); // its callers have been told
  }

  #begin(): Running<T> {
    const controller = new AbortController();
    const result = this.#work(controller.signal).finally(() => (this.#running = undefined));
    result.catch(() => undefined); // when all callers have left, nobody else looks at it
    this.#running = { result, controller, callers: 0 };
    return this.#running;
  }

  async #wait(running: Running<T>, signal: AbortSignal | undefined): Promise<T> {
    running.callers++;
    try {
      return await this.#orAborted(running.result, signal);
    } finally {
      if (--running.callers === 0) running.controller.abort(this.#aborted());
    }
  }

  async #left(result: Promise<T>, signal: AbortSignal | undefined): Promise<void> {
    await this.#orAborted(
      result.then(
        () => undefined,
        () => undefined,
      ),
      signal,
    );
  }

  async #orAborted<R>(result: Promise<R>, signal: AbortSignal | undefined): Promise<R> {
    if (signal === undefined) return await result;
    let onAbort = (): void => undefined;
    const left = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(this.#aborted());
      signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([result, left]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}
