// A unit as its author wrote it, checked, with what its [X-Fleet] section asks; and all units of one commit.
import type { CommitId, UnitHash, UnitName } from "./names.ts";
import type { Problem } from "./problem.ts";
import type { Hold, SubmittedUnit } from "./submitted.ts";

/** fleet's three states: known but nowhere; placed and linked; also started. */
export const targetStates = ["inactive", "loaded", "launched"] as const;
export type TargetState = (typeof targetStates)[number];

/** One metadata key and the values that satisfy it (any of them). */
export interface MetadataRule {
  readonly key: string;
  readonly values: readonly string[];
}

/** One comparison with a machine's metadata. A key that the machine lacks satisfies only `differs` and `missing`. */
export type MetadataTest =
  | { readonly key: string; readonly test: "equals" | "differs"; readonly value: string }
  /** Numbers; a value of the machine that is none satisfies nothing. */
  | { readonly key: string; readonly test: "below" | "at-most" | "above" | "at-least"; readonly value: number }
  | { readonly key: string; readonly test: "exists" | "missing" };

/** What a unit takes of a machine's memory: so many bytes, or a share of what that machine has. */
export type MemoryReserve = { readonly bytes: number } | { readonly percent: number };

/** Of Priority=; 0 unless set. */
export const priorityBounds = { least: -1_000, most: 1_000 } as const;

/** What [X-Fleet] asks, specifiers expanded. Empty lists and undefined ask nothing. */
export interface PlacementOptions {
  /** A full machine id or its first 8 characters. */
  readonly machineId: string | undefined;
  /** Every one of these units must be on the candidate machine. */
  readonly machineOf: readonly UnitName[];
  /** All keys must be satisfied; sorted by key. */
  readonly metadata: readonly MetadataRule[];
  /** Glob patterns over unit names. */
  readonly conflicts: readonly string[];
  /** Glob patterns over unit names. */
  readonly replaces: readonly string[];
  readonly global: boolean;
  /** What MachineMetadata= asks beside equality: all must hold. In the order of the text; never "equals". */
  readonly demands?: readonly MetadataTest[];
  /** MemoryReserve=, else the unit's own MemoryMax=. Never of zero. */
  readonly memory?: MemoryReserve;
  /** CPUReserve=, else the unit's own CPUQuota=: thousandths of a processor, above 0. */
  readonly milliCpus?: number;
  /** The metadata key over whose values the instances of one template are spread. */
  readonly spread?: string;
  /** What it would rather have and rather not have; refuses no machine. */
  readonly prefer?: readonly MetadataTest[];
  readonly avoid?: readonly MetadataTest[];
  /** Within `priorityBounds`; left out where it is 0. */
  readonly priority?: number;
}

/** What a machine does with a running unit whose text has changed. */
export type OnChange = "restart" | "reload";

/** Of each step of a unit's stop, where its text says nothing and it has OnPartition=stop. */
export const defaultStopMs = 10_000;
/** All steps together may take so long at most. */
export const longestStopMs = 3_600_000;

/** How the stop of a unit with OnPartition=stop goes, by its own text. */
export interface Fence {
  /** What each step may take; 0 where systemd lets go of the unit at once. */
  readonly stepMs: number;
  /** From the order to stop it until it is down at the latest: every command and every signal has its step. */
  readonly stopMs: number;
}

/** A drop-in: `name` is its file name (`10-limits.conf`), `file` its path in the repository, `text` byte for byte. */
export interface DropIn {
  readonly name: string;
  readonly file: string;
  readonly text: string;
}

/** Who a unit is from: the repository, or a person's hand. */
export type UnitSource = "git" | "submitted";

export interface Unit {
  readonly name: UnitName;
  readonly source: UnitSource;
  /** Path in the repository of the file or link that names this unit; "" for a submitted one. */
  readonly file: string;
  /** The author's own text, byte for byte; an instance made by a link has its template's. */
  readonly text: string;
  /** In the order in which systemd shall apply them; names are unique. A template's come before its instance's own. */
  readonly dropIns: readonly DropIn[];
  readonly hash: UnitHash;
  readonly target: TargetState;
  readonly options: PlacementOptions;
  readonly onChange: OnChange;
  /** With OnPartition=stop: a machine that is cut off stops it by itself. */
  readonly fence?: Fence;
  /** First Description= of [Unit], if any. */
  readonly description: string | undefined;
  /** Whether the text or a drop-in has an [Install] section that asks for something. */
  readonly hasInstall: boolean;
}

/** All units of one commit, checked as a whole. */
export interface DesiredState {
  readonly commit: CommitId;
  /** Runnable units (never templates), in name order. */
  readonly units: ReadonlyMap<UnitName, Unit>;
  /** Templates, in name order; known and listed, never run. Their target is always `inactive`. */
  readonly templates: ReadonlyMap<UnitName, Unit>;
  /** What is odd but no reason to refuse: near misses, unknown X- options. */
  readonly warnings: readonly Problem[];
}

/** A hold in force, and what the repository itself says of the unit's target. */
export interface HeldUnit {
  readonly hold: Hold;
  readonly declared: TargetState;
}

/** What the cluster is to run: the adopted commit's units and those submitted by hand, with holds applied to their targets. */
export interface WantedState {
  /** Undefined: the cluster has never adopted one. */
  readonly commit: CommitId | undefined;
  /** Runnable units, in name order; of two of one name the repository's. */
  readonly units: ReadonlyMap<UnitName, Unit>;
  readonly templates: ReadonlyMap<UnitName, Unit>;
  /** Of the units and templates that are from a hand: what was submitted. */
  readonly submitted: ReadonlyMap<UnitName, SubmittedUnit>;
  /** Holds on units that are in `units`. */
  readonly held: ReadonlyMap<UnitName, HeldUnit>;
  /** Units of which the registry holds something that cannot be read: they stay as they are. */
  readonly unknown: ReadonlySet<UnitName>;
}
