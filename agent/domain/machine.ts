// A machine of the cluster, as it announces itself while it lives.
import type { MachineId } from "./names.ts";

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
  /** flotilla's version there. */
  readonly version: string;
}

/** Who leads: written by the winner of the election under its lease. The key's create revision is the epoch. */
export interface Leader {
  readonly machine: MachineId;
  readonly hostname: string;
}
