// Runs a target in a thread of its own: an input that never ends, takes all memory or throws where nobody catches is told
// like any other breach, and the next input gets a new thread. One input at a time. Given to campaign.ts and the tests.
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { pollutedPrototype } from "./target.ts";
import type { Answer, Facts } from "./thread.ts";

/** For one input, whatever its size; the clock's, so that a busy computer breaks nothing. */
const hangMs = 20_000;
const maxHeapMb = 512;
/** How much more the whole process may have in memory than when it gave the input: buffers are on nobody's heap. */
const maxGrownBytes = 512 * 1024 * 1024;
const lookMs = 25;
/** What the breach begins with that may have been the computer's, or an earlier input's garbage. */
export const tooMuchMemory = "memory";

export interface Verdict {
  readonly breach: string | undefined;
  readonly manner: string;
  readonly tookMs: number;
}

export class Runner {
  readonly #target: string;
  readonly #hangMs: number;
  #started: { readonly worker: Worker; readonly facts: Facts } | undefined;

  constructor(target: string, options: { readonly hangMs?: number } = {}) {
    this.#target = target;
    this.#hangMs = options.hangMs ?? hangMs;
  }

  /** What the target says of its inputs. */
  async facts(): Promise<Facts> {
    return (this.#started ??= await start(this.#target)).facts;
  }

  async run(input: Uint8Array): Promise<Verdict> {
    const { worker } = (this.#started ??= await start(this.#target));
    const beganMs = performance.now();
    const memory = new Memory(input.length);
    let timer: NodeJS.Timeout | undefined;
    const over = new AbortController();
    try {
      const answer = new Promise<Answer>((resolve) => {
        worker.once("message", resolve);
      });
      // The bytes are copied: what runs over there changes nothing here
      worker.postMessage(input);
      const late = new Promise<string>((resolve) => {
        timer = setTimeout(() => resolve(`no answer within ${this.#hangMs} ms`), this.#hangMs);
      });
      const died = once(worker, "error", { signal: over.signal }).then(([error]) => wordsOf(error));
      died.catch(() => undefined); // it is not waited for any more
      const outcome = await Promise.race([answer, late, died, memory.over]);
      const grown = memory.look();
      if (typeof outcome !== "string" && grown !== undefined) {
        await this.#discard();
        return { ...outcome, breach: outcome.breach ?? grown };
      }
      if (typeof outcome !== "string") {
        // What an input has left behind must not be told of the next one
        if (outcome.breach?.startsWith(pollutedPrototype) === true) await this.#discard();
        return outcome;
      }
      await this.#discard();
      return { breach: outcome, manner: "thrown", tookMs: performance.now() - beganMs };
    } finally {
      clearTimeout(timer);
      memory.end();
      over.abort();
      worker.removeAllListeners("message");
    }
  }

  /** Lets the target end what it has started. */
  async close(): Promise<void> {
    const worker = this.#started?.worker;
    this.#started = undefined;
    if (worker === undefined) return;
    const ended = once(worker, "exit");
    worker.postMessage("end");
    await ended;
  }

  async #discard(): Promise<void> {
    const worker = this.#started?.worker;
    this.#started = undefined;
    await worker?.terminate();
  }
}

/** What the process takes while one input is read, looked at from the other thread: whatever takes it, and if it never ends. */
class Memory {
  readonly #inputBytes: number;
  readonly #fromBytes = process.memoryUsage.rss();
  readonly #timer: NodeJS.Timeout;
  /** Resolves as soon as it is too much. */
  readonly over: Promise<string>;

  constructor(inputBytes: number) {
    this.#inputBytes = inputBytes;
    let tell: (breach: string) => void = () => undefined;
    this.over = new Promise((resolve) => (tell = resolve));
    this.#timer = setInterval(() => {
      const breach = this.look();
      if (breach !== undefined) tell(breach);
    }, lookMs);
  }

  /** Undefined: it is within bounds. */
  look(): string | undefined {
    const grown = process.memoryUsage.rss() - this.#fromBytes;
    if (grown <= maxGrownBytes) return undefined;
    return `${tooMuchMemory}: ${Math.round(grown / 1024 / 1024)} MiB for ${this.#inputBytes} bytes`;
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

async function start(target: string): Promise<{ readonly worker: Worker; readonly facts: Facts }> {
  const source = new URL("./thread.ts", import.meta.url);
  // A thread of Node 20 does not inherit the hooks that read TypeScript: it registers them before it begins
  const hooks = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const entry = `data:text/javascript,import { register } from ${hooks}; register(); await import(${JSON.stringify(source.href)});`;
  const worker = new Worker(new URL(entry), {
    workerData: { target },
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
  });
  const [facts] = (await once(worker, "message")) as [Facts];
  return { worker, facts };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? `the thread died: ${error.stack ?? error.message}` : String(error);
}
