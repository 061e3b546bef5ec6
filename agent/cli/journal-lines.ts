// What machines say, put out line by line; and the exit code that comes of it. Given to the commands that go to several machines.
import { Problem } from "../domain/problem.ts";
import { terminalLine } from "../report/journal.ts";
import { exitCodes } from "./exit-codes.ts";
import { writeFailure } from "./print.ts";
import type { Tools } from "./tools.ts";

export interface Line {
  readonly text: string;
  readonly from: "stdout" | "stderr";
}

/** On the output that it came from; `mark` stands in front. */
export async function print(
  { stdout, stderr }: Pick<Tools, "stdout" | "stderr">,
  { text, from, mark }: Line & { readonly mark: string },
): Promise<void> {
  const output = from === "stdout" ? stdout : stderr;
  await output.write(`${mark}${output.isTerminal ? terminalLine(text) : text}\n`);
}

/** The status; for a machine that cannot be reached its own exit code, with the reason said. */
export async function ending(tools: Tools, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (!isOfMachine(error)) throw error;
    return writeFailure(tools, error);
  }
}

/** Whether this is about one machine, and others may still be asked. */
export function isOfMachine(error: unknown): error is Problem {
  return error instanceof Problem && /^(ssh|shell)-/.test(error.code);
}

export function firstFailure(statuses: readonly number[]): number {
  return statuses.find((status) => status !== exitCodes.ok) ?? exitCodes.ok;
}
