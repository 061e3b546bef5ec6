// The git worker thread: everything that computes over packs happens here, beside the main thread's leases and watches.
// Entry point of its own bundle (dist/git-worker.js); started by thread.ts and by nothing else.
import { parentPort, workerData } from "node:worker_threads";
import { Problem, asProblem } from "../../domain/problem.ts";
import { abortedProblem } from "./failures.ts";
import { type FromWorker, type ToWorker, type WorkerData, pageEntries, toWire } from "./protocol.ts";
import { Store } from "./store.ts";

const port = parentPort;
if (port === null) throw new Error("This file is the entry of a worker thread");

const store = new Store(workerData as WorkerData);
const running = new Map<number, AbortController>();

port.on("message", (message: ToWorker) => {
  if (message.call === "abort") {
    running.get(message.id)?.abort(abortedProblem("the repository"));
    return;
  }
  const controller = new AbortController();
  running.set(message.id, controller);
  perform(message, controller.signal)
    .then(
      (value) => answer({ id: message.id, value }),
      (error: unknown) =>
        answer({
          id: message.id,
          problem: toWire(asProblem(error, "git-worker", `Cannot do the git worker's call "${message.call}"`)),
        }),
    )
    .finally(() => running.delete(message.id));
});

function answer(message: FromWorker): void {
  const bytes = "value" in message && message.value instanceof Uint8Array ? message.value : undefined;
  port?.postMessage(message, bytes?.buffer instanceof ArrayBuffer ? [bytes.buffer] : []);
}

async function perform(message: Exclude<ToWorker, { call: "abort" }>, signal: AbortSignal): Promise<unknown> {
  switch (message.call) {
    case "bring":
      return await store.bring(message.input, signal);
    case "has":
      return await store.has(message.input);
    case "info":
      return await store.info(message.input);
    case "tree": {
      const { commit, from } = message.input;
      const entries = await store.tree(commit);
      return { entries: entries.slice(from, from + pageEntries), more: from + pageEntries < entries.length };
    }
    case "blob":
      return await store.blob(message.input);
    default:
      throw new Problem("git-worker", "Cannot understand a message to the git worker");
  }
}
