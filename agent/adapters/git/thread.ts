// The main thread's end of the git worker: started with the first call, ended when there has been nothing to do for a while.
// Given to git.ts. A worker that dies rejects what it was asked, and the next call starts another.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { Problem } from "../../domain/problem.ts";
import { packedText } from "../packed.ts";
import { abortedProblem } from "./failures.ts";
import { type CallName, type Calls, type FromWorker, type ToWorker, type WorkerData, fromWire } from "./protocol.ts";

/** Between a fetch and the reads that follow it the worker stays; then its memory (packs, the git library) is given back. */
const idleEndMs = 3_000;
/** How long an aborted call may take to end its transport before the whole worker is ended. */
const abortGraceMs = 3_000;
/** JavaScript heap of the worker. Packs lie outside of it and are bounded by the transport, what they unpack to by the store. */
const maxHeapMb = 1_024;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (problem: Problem) => void;
}

export class GitThread {
  readonly #data: WorkerData;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;
  #lastId = 0;
  #closed = false;

  constructor(data: WorkerData) {
    this.#data = data;
  }

  /** Rejects with the store's Problem, with "git-worker" when the worker died, or "aborted". */
  async call<Name extends CallName>(
    name: Name,
    input: Calls[Name]["input"],
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<Calls[Name]["output"]> {
    if (this.#closed || signal?.aborted === true) throw abortedProblem(this.#data.directory);
    const id = ++this.#lastId;
    const worker = this.#start();
    let grace: NodeJS.Timeout | undefined;
    const onAbort = () => {
      worker.postMessage({ id, call: "abort" } satisfies ToWorker);
      grace = setTimeout(() => this.#discard(worker, abortedProblem(this.#data.directory)), abortGraceMs);
    };
    try {
      const value = await new Promise<unknown>((resolve, reject: (problem: Problem) => void) => {
        this.#waiting.set(id, { resolve, reject });
        signal?.addEventListener("abort", onAbort, { once: true });
        worker.postMessage({ id, call: name, input });
      });
      return value as Calls[Name]["output"];
    } finally {
      clearTimeout(grace);
      signal?.removeEventListener("abort", onAbort);
      this.#waiting.delete(id);
      if (this.#waiting.size === 0) this.#rest();
    }
  }

  /** Rejects what is under way with "aborted"; resolves when the worker has ended. */
  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#discard(worker, abortedProblem(this.#data.directory));
    await worker.terminate();
  }

  #start(): Worker {
    clearTimeout(this.#idle);
    if (this.#worker !== undefined) {
      this.#worker.ref();
      return this.#worker;
    }
    const packed = packedText("git-worker.js");
    const worker = new Worker(packed ?? workerEntry(), {
      name: "flotilla-git",
      eval: packed !== undefined,
      workerData: this.#data,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    this.#worker = worker;
    worker.on("message", (message: FromWorker) => {
      const waiting = this.#waiting.get(message.id);
      if ("problem" in message) waiting?.reject(fromWire(message.problem));
      else waiting?.resolve(message.value);
    });
    worker.on("error", (error) => this.#discard(worker, died(error)));
    worker.on("exit", (code) => this.#discard(worker, died(new Error(`It ended with exit code ${code}`))));
    return worker;
  }

  #rest(): void {
    const worker = this.#worker;
    worker?.unref();
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      if (this.#waiting.size === 0 && worker !== undefined) this.#discard(worker, abortedProblem(this.#data.directory));
    }, idleEndMs).unref();
  }

  /** Ends this worker for good. Its calls are the only ones that wait: there is never a second one beside it. */
  #discard(worker: Worker, because: Problem): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(because);
    this.#waiting.clear();
    worker.terminate().catch(() => undefined); // it is gone either way
  }
}

function died(cause: unknown): Problem {
  return new Problem("git-worker", "Cannot finish the git worker's task", {
    hint: "Its thread ended; it is started anew with the next call",
    cause,
  });
}

/**
 * Beside the program when it is bundled, whatever chunk this has become part of; from source, as in tests, beside this
 * file. The single executable carries it and does not ask.
 */
function workerEntry(): URL {
  const source = new URL("./worker.ts", import.meta.url);
  if (!existsSync(fileURLToPath(source))) return new URL("./git-worker.js", import.meta.url);
  // A thread of Node 20 does not inherit the hooks that read TypeScript: it registers them before it begins.
  const hooks = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  return new URL(
    `data:text/javascript,import { register } from ${hooks}; register(); await import(${JSON.stringify(source.href)});`,
  );
}
