// How long a command waits for what it asked for: fleet's --no-block and --block-attempts, and --timeout.
import { usageProblem } from "./checked.ts";
import type { Option } from "./command.ts";
import { timeOption } from "./time-option.ts";

export const noBlockOption: Option = { flags: "--no-block", means: "Do not wait: say what was asked for and end" };
export const waitOptions: readonly Option[] = [
  noBlockOption,
  { flags: "--timeout DURATION", means: "Wait no longer than this, e.g. 90s, 5min (default: for ever)" },
  { flags: "--block-attempts NUMBER", means: "Wait no longer than so many times two seconds; 0: for ever" },
];

export const documentOption: Option = { flags: "--json", means: "Print JSON" };

/** One of fleet's attempts. */
const attemptMs = 2_000;
const mostAttempts = 1_000_000;

/** `undefined`: not at all; `Infinity`: for ever. The shorter of two bounds counts. Throws usage problems. */
export function readWait(options: Readonly<Record<string, string | true | undefined>>): number | undefined {
  const timeoutMs = timeOption("--timeout", textOf(options["timeout"]));
  const attempts = readAttempts(textOf(options["block-attempts"]));
  if (options["no-block"] === true) return undefined;
  return Math.min(timeoutMs ?? Infinity, attempts > 0 ? attempts * attemptMs : Infinity);
}

function readAttempts(text: string | undefined): number {
  if (text === undefined) return 0;
  const attempts = /^-?\d{1,7}$/.test(text) ? Number(text) : NaN;
  if (attempts <= mostAttempts) return attempts;
  throw usageProblem(`Cannot take "${text.slice(0, 64)}" as --block-attempts`, "It is a number; 0 waits for ever");
}

export function textOf(option: string | true | undefined): string | undefined {
  return typeof option === "string" ? option : undefined;
}
