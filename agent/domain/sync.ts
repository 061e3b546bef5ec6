// A sync that somebody asked for, and what came of it.
import type { CommitId } from "./names.ts";
import type { ProblemRecord } from "./problem.ts";

export interface SyncRequest {
  /** Unlike every other request's. */
  readonly id: string;
  /** Hostname of the machine that asks. */
  readonly by: string;
}

export interface SyncResult {
  readonly outcome: "adopted" | "unchanged" | "refused" | "failed";
  readonly commit?: CommitId;
  readonly problems: readonly ProblemRecord[];
}
