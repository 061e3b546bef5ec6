// SELinux labels of what was written: a file made beside its place has not got the label that its path asks for. For
// setup.ts. What fails here is told and nothing more: the file has its text, and a label can be set later.
import { Problem } from "../../domain/problem.ts";
import type { Programs } from "./programs.ts";

const labelTimeoutMs = 30_000;

export interface Labelling {
  readonly programs: Pick<Programs, "find" | "must">;
  readonly signal: AbortSignal;
}

/** Resolves with a warning where the labels could not be set. Rejects with "aborted" only. */
export async function label(paths: readonly string[], { programs, signal }: Labelling): Promise<Problem | undefined> {
  if ((await programs.find("restorecon")) === undefined) return undefined;
  try {
    await programs.must(["restorecon", "--", ...paths], { signal, timeoutMs: labelTimeoutMs });
    return undefined;
  } catch (cause) {
    if (signal.aborted) throw cause;
    return new Problem("setup-label", `Cannot set the SELinux labels of ${paths.join(", ")}`, {
      hint: `Programs may be kept from it until they are set: restorecon -v -- ${paths.join(" ")}`,
      cause,
    });
  }
}
