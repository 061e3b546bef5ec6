// The thread that gives inputs to one target: entry point, started by runner.ts. What happens to it (no end, no memory, an
// error that nobody catches) happens to it alone, and is told by the runner.
import { parentPort, workerData } from "node:worker_threads";
import { breachOf } from "./target.ts";
import { loadTarget } from "./targets.ts";

/** What inputs are made of; said once, at the start. */
export interface Facts {
  readonly words: readonly string[];
  readonly maxBytes: number;
}

export interface Answer {
  /** What was thrown or does not hold; undefined: all is well. */
  readonly breach: string | undefined;
  /** For telling inputs apart: the outcome, and the codes of what was said. */
  readonly manner: string;
  /** Of the processor, or of the clock where that is less. */
  readonly tookMs: number;
}

const port = parentPort;
if (port === null) throw new Error("This file is the entry of a thread");

const target = await loadTarget((workerData as { readonly target: string }).target);

async function answerTo(input: Uint8Array): Promise<Answer> {
  const [beganMs, began] = [performance.now(), process.cpuUsage()];
  const took = (): number => {
    const { user, system } = process.cpuUsage(began);
    return Math.min(performance.now() - beganMs, (user + system) / 1000) / (target.readings ?? 1);
  };
  try {
    const said = await target.run(input);
    const tookMs = took();
    const codes = [...new Set(said.problems.map(({ code }) => code))].sort();
    return { breach: breachOf(said), manner: [said.outcome, ...codes].join(" "), tookMs };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { breach: text.slice(0, 4_000), manner: "thrown", tookMs: took() };
  }
}

port.on("message", (message: Uint8Array | "end") => {
  if (message === "end") {
    (target.close?.() ?? Promise.resolve()).then(
      () => port.close(),
      (error: unknown) => {
        throw error;
      },
    );
    return;
  }
  answerTo(message).then(
    (answer) => port.postMessage(answer),
    (error: unknown) => {
      throw error;
    },
  );
});
const facts: Facts = { words: target.words, maxBytes: target.maxBytes };
port.postMessage(facts);
