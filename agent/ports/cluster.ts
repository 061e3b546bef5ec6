// What the API may ask of the agent that it belongs to. Implemented by loops/view.ts.
import type { CommitId, MachineId } from "../domain/names.ts";
import type { Leader, Machine } from "../domain/machine.ts";
import type { Decision, Manifest, Revision } from "../domain/placement.ts";
import type { ProblemRecord } from "../domain/problem.ts";
import type { MachineStatus } from "../domain/status.ts";
import type { DesiredState } from "../domain/unit.ts";

/** Everything known of the cluster at one registry revision. Maps are keyed by machine id, in id order. */
export interface ClusterPicture {
  readonly registryRevision: number;
  /** Living machines only. */
  readonly machines: ReadonlyMap<MachineId, Machine>;
  readonly leader: (Leader & { readonly epoch: number }) | undefined;
  readonly revision: Revision;
  /** Also of machines that are gone but still hold units. */
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly statuses: ReadonlyMap<MachineId, MachineStatus>;
  /** The adopted commit's units, from this machine's own store; undefined while it has none. */
  readonly desired: DesiredState | undefined;
  /** What the engine would decide on this picture, for units without a machine: why. Empty while `desired` is undefined. */
  readonly decisions: readonly Decision[];
  /** Registry values that cannot be read, and this agent's own present troubles (git, registry, systemd). */
  readonly problems: readonly ProblemRecord[];
}

export interface SyncResult {
  readonly outcome: "adopted" | "unchanged" | "refused" | "failed";
  readonly commit?: CommitId;
  readonly problems: readonly ProblemRecord[];
}

export interface ClusterView {
  readonly me: MachineId;
  readonly version: string;
  /** Rejects with Problem "registry-unreachable" when there is no picture at all. */
  picture(signal?: AbortSignal): Promise<ClusterPicture>;
  /** Calls `listener` after every change of the picture, at most each 100 ms. Returns the way to stop. */
  onChange(listener: () => void): () => void;
  /** Has the leader fetch now, waits for what came of it. Rejects with "no-leader" or "sync-timeout". */
  sync(signal?: AbortSignal): Promise<SyncResult>;
}
