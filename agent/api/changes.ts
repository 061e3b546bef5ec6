// GET /v2/changes: server-sent events, one after every change of the cluster. An event carries nothing but the fact, so
// that however slow a client reads, what waits for it is one event.
import { Problem } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";

/** So many clients may listen at once. */
export const maxEventStreams = 64;
/** A quiet stream says this often that it lives. */
export const heartbeatMs = 15_000;

const changeEvent = "event: change\ndata: {}\n\n";
const heartbeat = ": still here\n\n";

export class EventStreams {
  readonly #view: ClusterView;
  readonly #clock: Clock;
  readonly #open = new Set<AbortController>();
  #closing = false;

  constructor(view: ClusterView, clock: Clock) {
    this.#view = view;
    this.#clock = clock;
  }

  /** The body of a new stream: a change event at once, then one after each change; it ends with `signal` or `endAll`. */
  open(signal: AbortSignal): ReadableStream<Uint8Array> {
    if (this.#closing) throw new Problem("api-closing", "Cannot open an event stream: the agent is ending");
    if (this.#open.size >= maxEventStreams) {
      throw new Problem("api-streams", `Cannot open an event stream: ${maxEventStreams} are open already`);
    }
    const life = new AbortController();
    this.#open.add(life);
    const changes = new Changes(this.#clock, AbortSignal.any([signal, life.signal]));
    const stop = this.#view.onChange(() => changes.note());
    const end = () => {
      stop();
      this.#open.delete(life);
      life.abort();
    };
    // Also when nobody reads or cancels the body
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    const encoder = new TextEncoder();
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => controller.enqueue(encoder.encode(changeEvent)),
        pull: async (controller) => {
          const text = await changes.next();
          if (text === undefined) {
            end();
            controller.close();
          } else {
            controller.enqueue(encoder.encode(text));
          }
        },
        cancel: end,
      },
      { highWaterMark: 1 },
    );
  }

  /** Ends every stream and refuses new ones. */
  endAll(): void {
    this.#closing = true;
    for (const life of this.#open) life.abort();
  }
}

/** Changes since somebody last asked: some or none. */
class Changes {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#wake?.(), { once: true });
  }

  note(): void {
    this.#changed = true;
    this.#wake?.();
  }

  /** What to send next, when there is something to send; undefined at the end. One caller at a time. */
  async next(): Promise<string | undefined> {
    if (!this.#changed && !this.#signal.aborted) await this.#changeOrPause();
    if (this.#signal.aborted) return undefined;
    const text = this.#changed ? changeEvent : heartbeat;
    this.#changed = false;
    return text;
  }

  /** Resolves at a change, at the end, or when it is time for a heartbeat. */
  async #changeOrPause(): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    try {
      await this.#clock.sleep(heartbeatMs, woken.signal);
    } catch (error) {
      if (!woken.signal.aborted) throw error;
    } finally {
      this.#wake = undefined;
    }
  }
}
