// What came of a first boot's run, for people and programs: kept in one file for each boot, written anew as the run goes on.
// Holds no secret and no content. Made by bootstrap/, printed by report/.
import type { Stage } from "./first-boot.ts";
import type { ProblemRecord } from "./problem.ts";
import type { Severity } from "./user-data.ts";

export interface BootResult {
  readonly version: string;
  readonly bootId: string;
  /** Of the process that runs or ran. */
  readonly pid: number;
  /**
   * `done`: it came to its end, though single steps may have failed; `failed`: the document was refused, or the run could
   * not go on.
   */
  readonly state: "running" | "done" | "failed";
  /** Wall ms. */
  readonly startedMs: number;
  readonly endedMs?: number;
  /** What a running one is at. */
  readonly now?: { readonly what: string; readonly sinceMs: number };
  readonly instanceId?: string;
  readonly mode?: "alone" | "beside-cloud-init";
  readonly source?: {
    readonly name: string;
    readonly where: string;
    /** No source answered: what the last boot found was used once more. */
    readonly isKept: boolean;
  };
  readonly probes: readonly ProbeRecord[];
  readonly findings: readonly FindingRecord[];
  /** Why it failed. */
  readonly problems: readonly ProblemRecord[];
  readonly steps: readonly StepRecord[];
  /** What an earlier boot made and the document no longer has. */
  readonly left: readonly { readonly id: string; readonly path?: string; readonly isRemoved: boolean }[];
  /** Units that were told to start: what becomes of them is for systemd to say. */
  readonly watch: readonly string[];
  readonly stages: readonly { readonly name: string; readonly tookMs: number }[];
}

export interface ProbeRecord {
  readonly source: string;
  readonly outcome: "found" | "absent" | "failed" | "given-up";
  readonly why: string;
  readonly tries: number;
  readonly tookMs: number;
}

export interface FindingRecord extends ProblemRecord {
  readonly severity: Severity;
}

export interface StepRecord {
  readonly id: string;
  readonly stage: Stage;
  /** In words, without a secret. */
  readonly does: string;
  /** `skipped`: something before it failed, or the run was ended. */
  readonly result: "same" | "done" | "failed" | "skipped";
  readonly problem?: ProblemRecord;
}

/** A unit that was told to start, as it stands. */
export interface BootUnit {
  readonly unit: string;
  /** `waits`: for its job's turn; `left`: a condition did not hold, and it was not to start. */
  readonly standing: "up" | "finished" | "left" | "starting" | "waits" | "failed" | "not-started";
  /** systemd's own words: "activating (start)", "failed (exit-code)". */
  readonly words: string;
  /** Wall ms; 0: unknown. */
  readonly sinceMs: number;
}

/** How a boot stands as a whole. */
export interface BootStatus {
  /**
   * `none`: nothing ran at this boot; `refused`: the document, and nothing of it was done; `failed`: the run or a unit;
   * `working`: the run goes on; `waiting`: the run is over, a unit or discovery is still at it; `partly`: single steps failed.
   */
  readonly standing: "none" | "refused" | "failed" | "working" | "waiting" | "partly" | "whole";
  /** 0 whole; 1 refused or failed; 2 not whole. */
  readonly code: 0 | 1 | 2;
  /** It may still change by itself. */
  readonly isMoving: boolean;
  readonly waitsFor: readonly { readonly what: string; readonly sinceMs: number }[];
  readonly result: BootResult | undefined;
  readonly units: readonly BootUnit[];
  readonly problems: readonly ProblemRecord[];
}

/** What a first boot would do, without anything being done. */
export interface DryRun {
  readonly source: NonNullable<BootResult["source"]>;
  readonly mode: NonNullable<BootResult["mode"]>;
  /** The document would be refused; then only what lets somebody log in is in the plan. */
  readonly isRefused: boolean;
  readonly findings: readonly FindingRecord[];
  /** Why it would be refused, beside what the findings say. */
  readonly problems: readonly ProblemRecord[];
  /** Each step that would be looked at. */
  readonly steps: readonly {
    readonly id: string;
    readonly stage: Stage;
    readonly does: string;
    /** It is so already. */
    readonly same: boolean;
  }[];
  readonly left: BootResult["left"];
  readonly watch: readonly string[];
  /** Unified, without secrets; "" when nothing would change. */
  readonly diff: string;
  /** What could not be looked at, for lack of rights. */
  readonly unseen: readonly ProblemRecord[];
}
