// How commands speak: data on stdout, everything else on stderr, colour only where somebody looks.
import { Problem, type ProblemRecord, toRecord } from "../domain/problem.ts";
import { problemText, terminalText } from "../report/report.ts";
import { visibleJson } from "../text/width.ts";
import { exitCodes } from "./exit-codes.ts";
import type { Output, Tools } from "./tools.ts";

/** Whether stdout may be coloured (https://no-color.org). */
export function hasColour({ stdout, env }: Tools): boolean {
  return stdout.isTerminal && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
}

/**
 * A document for programs: many lines for a reader, one line when more documents may follow. It is the same on a terminal, and
 * harmless there.
 */
export function jsonText(value: unknown, more: { readonly oneLine?: boolean } = {}): string {
  return `${visibleJson(JSON.stringify(value, undefined, more.oneLine === true ? undefined : 2))}\n`;
}

/** Text that others wrote: as it is into a pipe, harmless on a terminal. */
export function writeForeign({ stdout }: Tools, text: string): Promise<void> {
  return stdout.write(stdout.isTerminal ? terminalText(text) : text);
}

/** The same tools, but that whoever reads what is said may go away: the rest of it is said to nobody. */
export function speakingOn(tools: Tools): Tools {
  return { ...tools, stdout: heedless(tools.stdout), stderr: heedless(tools.stderr) };
}

function heedless(output: Output): Output {
  return {
    isTerminal: output.isTerminal,
    size: () => output.size(),
    write: async (text) => {
      try {
        await output.write(text);
      } catch (error) {
        if (!(error instanceof Problem && error.code === "output-closed")) throw error;
      }
    },
  };
}

/** Problems on stderr, one line each, with their hints. */
export async function writeProblems({ stderr }: Tools, problems: readonly ProblemRecord[]): Promise<void> {
  await stderr.write(problems.map(problemText).join(""));
}

/**
 * Whatever ended a command, said on stderr once; resolves with the exit code that goes with it. `usageExit`: the one for a
 * wrong command line.
 */
export async function writeFailure(
  tools: Tools,
  error: unknown,
  { usageExit = exitCodes.usage }: { readonly usageExit?: number } = {},
): Promise<number> {
  const problems = problemsOf(error);
  // The reader of stdout has gone (`flotilla ... | head`): nobody to tell, and nothing is wrong
  if (problems.some(({ code }) => code === "output-closed")) return exitCodes.ok;
  if (tools.signal.aborted && problems.every(({ code }) => code === "aborted")) return exitCodes.interrupted;
  const text = tools.failureText ?? ((problem: ProblemRecord) => `flotilla: ${problemText(problem)}`);
  const lines = problems.map((problem) => text(toRecord(problem)));
  try {
    await tools.stderr.write(lines.join(""));
  } catch (unsaid) {
    // stderr itself is gone: the exit code is all that is left to say
    if (!(unsaid instanceof Problem)) throw unsaid;
  }
  return exitCodeOf(problems, usageExit);
}

function exitCodeOf(problems: readonly Problem[], usageExit: number): number {
  if (problems.some(({ code }) => /^(usage|fields?-)/.test(code))) return usageExit;
  if (problems.some(({ code }) => isUnreachable(code))) return exitCodes.unreachable;
  if (problems.some(({ code }) => code.startsWith("ssh-"))) return exitCodes.ssh;
  return exitCodes.failure;
}

/** Whether a problem of this code says that no agent answers. */
export function isUnreachable(code: string): boolean {
  return code === "agent-unreachable" || code === "agent-timeout";
}

function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.flatMap(problemsOf);
  if (error instanceof Problem) return [error];
  if (isAbort(error)) return [new Problem("aborted", "Cannot go on: it was given up")];
  return [new Problem("internal", "Cannot go on because of a mistake in flotilla itself", { cause: error })];
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
