// What this machine is: facts that the kernel and the distribution know.
import type { MachineId } from "../domain/names.ts";
import type { Checked } from "../domain/problem.ts";

export interface HostFacts {
  readonly hostname: string;
  /** Differs at every boot: 32 lowercase hex digits. */
  readonly bootId: string;
  /** Processors that this process may use; at least 1. */
  readonly cpus: number;
  readonly memoryBytes: number;
  /**
   * The address that others reach this machine by, as far as it can be told: the first global IPv4 address of the
   * interface that has the default route, else its first global or unique-local IPv6 address, else "".
   */
  readonly publicIp: string;
}

export interface Host {
  /** From machine-id(5); Problem "machine-id" when there is none, "machine-id-shape" when it is not 32 hex digits. */
  machineId(): Promise<Checked<MachineId>>;
  /** Rejects with Problem "host-facts" when the boot id cannot be read; everything else has an honest "unknown". */
  facts(): Promise<HostFacts>;
}
