// A reader with every defect that the engine is to find, for the engine's own tests. Its words set each of them off.
import { Problem } from "../../../agent/domain/problem.ts";
import { type Target, textOf } from "../target.ts";

/** Longer than an input may take. */
const slowMs = 1_050;
/** Half a second for an input of nothing else, of the greatest size. */
const msForSquare = 5e-6;

/** Without end, were it not for the computer that tests it. */
const [bufferBytes, maxBuffers] = [16 * 1024 * 1024, 200];

export const target: Target = {
  name: "planted",
  reads: "nothing that is foreign",
  words: [],
  maxBytes: 64 * 1024,
  async run(input) {
    const text = textOf(input);
    const problems: Problem[] = [];
    if (text.includes("throw")) (undefined as unknown as { f(): void }).f();
    if (text.includes("later")) setImmediate(() => failing("nobody waits for it"));
    if (text.includes("later")) await new Promise(() => undefined); // the thread dies meanwhile
    if (text.includes("slow")) busy(slowMs);
    while (text.includes("hang"));
    if (text.includes("pollute")) Object.assign(Object.prototype, { polluted: true });
    if (text.includes("long"))
      problems.push(Object.assign(new Problem("long", "Cannot"), { message: "a".repeat(9_000) }));
    if (text.includes("string")) problems.push("Cannot" as unknown as Problem);
    if (text.includes("memory")) {
      const kept: unknown[] = [];
      for (;;) kept.push(new Array<number>(1_000_000).fill(kept.length + 0.5));
    }
    if (text.includes("buffers")) {
      const kept: Buffer[] = [];
      for (;;) if (kept.length < maxBuffers) kept.push(Buffer.alloc(bufferBytes, 1));
    }
    const squares = text.split("square").length - 1;
    busy(squares ** 2 * msForSquare);
    return { outcome: text.includes("otherwise") ? "otherwise" : "taken", problems };
  },
};

function failing(message: string): never {
  throw new Error(message);
}

/** By the processor's time, which is what is judged. */
function busy(ms: number): void {
  const began = process.cpuUsage();
  for (let took = 0; took < ms;) {
    const { user, system } = process.cpuUsage(began);
    took = (user + system) / 1_000;
  }
}
