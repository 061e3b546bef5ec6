// The last lines of a unit's log on one machine, for a command that tells of a failure. At its best: whatever keeps it from
// having them is told in their place.
import type { UnitName } from "../domain/names.ts";
import { Problem, type ProblemRecord, toRecord } from "../domain/problem.ts";
import type { MachineReference } from "../domain/report.ts";
import type { Given } from "./command.ts";
import type { Tools } from "./tools.ts";

export interface LogLines {
  /** As journalctl(1) prints them, oldest first. */
  readonly lines: readonly string[];
  /** Why there are none. */
  readonly problem?: ProblemRecord;
}

const lineCount = 10;
/** A person waits for it. */
const timeoutMs = 15_000;
const syncTimeoutMs = 5_000;
const maxLineLength = 1_000;

/** Rejects only with "aborted". */
export async function readLogLines(
  tools: Pick<Tools, "machineShell" | "signal">,
  of: { readonly given: Given; readonly unit: UnitName; readonly machine: MachineReference },
): Promise<LogLines> {
  try {
    const shell = await tools.machineShell(of.given.reach);
    // What a unit said last may still be on its way into the journal; where that cannot be waited for, it is read as it is
    const sync = shell.capture(of.machine, ["journalctl", "--sync"], {
      signal: tools.signal,
      timeoutMs: syncTimeoutMs,
    });
    await sync.catch((error: unknown) => {
      if (!(error instanceof Problem)) throw error;
    });
    const { status, stdout, stderr } = await shell.capture(
      of.machine,
      ["journalctl", `--unit=${of.unit}`, `--lines=${lineCount}`, "--output=short", "--no-pager", "--quiet"],
      { signal: tools.signal, timeoutMs },
    );
    const lines = linesOf(stdout).slice(-lineCount);
    if (status === 0 || lines.length > 0) return { lines };
    const said = linesOf(stderr)[0] ?? `it ended with ${status}`;
    return { lines: [], problem: { code: "journal-failed", message: `journalctl there says: ${said}` } };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { lines: [], problem: toRecord(error) };
  }
}

function linesOf(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.trimEnd().slice(0, maxLineLength))
    .filter((line) => line !== "");
}
