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

/**
 * Registry key machine-settings/ID: what operators changed of a machine's metadata, stronger than the machine's own word.
 * It stays when the machine goes, and may be there before it comes.
 */
export interface MachineSettings {
  readonly machine: MachineId;
  /** `null`: the machine does not have the key, whatever it says itself. At most `maxMetadataChanges`. */
  readonly metadata: Readonly<Record<string, string | null>>;
  readonly by: Person;
  /** Wall ms of the last change. */
  readonly atMs: number;
}

/** Keys of one machine that operators may have changed. */
export const maxMetadataChanges = 100;

/** The metadata that counts: the machine's own with the changes laid over it. */
export function effectiveMetadata(own: Machine["metadata"], changes: MachineSettings["metadata"]): Machine["metadata"] {
  const entries = Object.entries({ ...own, ...changes });
  return Object.fromEntries(entries.flatMap(([key, value]) => (value === null ? [] : [[key, value]])));
}
