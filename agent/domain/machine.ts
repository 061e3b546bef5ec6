// A machine of the cluster, as it announces itself while it lives.
import type { MachineId } from "./names.ts";
import type { Person } from "./submitted.ts";

export interface Machine {
  readonly id: MachineId;
  /** Differs at every boot; two living machines that show different nonces under one id are clones. */
  readonly nonce: string;
  readonly hostname: string;
  /** Published address, or "" when there is none. */
  readonly publicIp: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Whether it may lead. */
  readonly mayLead: boolean;
  /** Set where a repository is: who has none leads only while nobody is there who has one and may lead. */
  readonly hasRepository?: true;
  /** Set where units that people submit are not run ([Agent] AllowSubmit=no): none is placed there. */
  readonly allowSubmit?: false;
  /** flotilla's version there. */
  readonly version: string;
}

/** Who leads: written by the winner of the election under its lease. The key's create revision is the epoch. */
export interface Leader {
  readonly machine: MachineId;
  readonly hostname: string;
}

/** A drain: an operator's wish that a machine's units go elsewhere, and what became of it. */
export interface Drain {
  /** Tells this drain from the one before and after. */
  readonly id: string;
  readonly by: Person;
  /** Wall ms. */
  readonly sinceMs: number;
  /** Wall ms; it is stopped then. Undefined: it takes as long as it takes. */
  readonly deadlineMs?: number;
  /** `done`: no unit but global ones is left. `stopped`: what is left runs on there, and `because` says why it is left. */
  readonly state: "moving" | "done" | "stopped";
  readonly because?: string;
}

/** A machine that came and went, and takes nothing new for a while; what it has stays. The leader sets it and takes it away. */
export interface Rest {
  /** How often it was lost, each time before the last loss was forgotten. */
  readonly losses: number;
  /** Wall ms. */
  readonly untilMs: number;
}

/**
 * Registry key machine-settings/ID: what operators say of a machine: changes of its metadata, stronger than the machine's
 * own word, and whether it takes units; and what the leader says: its rest. It stays when the machine goes, and may be there before it comes.
 */
export interface MachineSettings {
  readonly machine: MachineId;
  /** `null`: the machine does not have the key, whatever it says itself. At most `maxMetadataChanges`. */
  readonly metadata: Readonly<Record<string, string | null>>;
  /** It takes nothing new; what it has stays. A machine that was drained stays cordoned. */
  readonly cordoned?: true;
  /** Only while it is cordoned. */
  readonly drain?: Drain;
  readonly rests?: Rest;
  readonly by: Person;
  /** Wall ms of the last change. */
  readonly atMs: number;
}

/** After its second loss a machine rests for so long, after each further one for twice as long as before, up to the longest. */
export const firstRestMs = 30_000;
export const longestRestMs = 10 * 60_000;
/** Keys of one machine that operators may have changed. */
export const maxMetadataChanges = 100;
/** A drain with a deadline takes at least this long, and at most a week. */
export const minDrainMs = 1_000;
export const maxDrainMs = 7 * 24 * 3_600_000;

/** The metadata that counts: the machine's own with the changes laid over it. */
export function effectiveMetadata(own: Machine["metadata"], changes: MachineSettings["metadata"]): Machine["metadata"] {
  const entries = Object.entries({ ...own, ...changes });
  return Object.fromEntries(entries.flatMap(([key, value]) => (value === null ? [] : [[key, value]])));
}
