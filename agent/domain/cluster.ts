// The whole cluster as one agent sees it at one moment: what reports are made from.
import type { Leader, Machine, MachineSettings } from "./machine.ts";
import type { MachineId, UnitName } from "./names.ts";
import type { ClusterState, Decision, Manifest, Revision } from "./placement.ts";
import type { ProblemRecord } from "./problem.ts";
import type { MachineStatus } from "./status.ts";
import type { ClusterEvent, Hold } from "./submitted.ts";
import type { WantedState } from "./unit.ts";

/** Everything known of the cluster at one registry revision. Maps are keyed by machine id, in id order. */
export interface ClusterPicture {
  readonly registryRevision: number;
  /** Set while the registry is away: this is how it was last, or what this machine knows by itself. */
  readonly stale?: true;
  /** Living machines only. */
  readonly machines: ReadonlyMap<MachineId, Machine>;
  /** What operators say of machines; also of those that are not there. */
  readonly settings: ReadonlyMap<MachineId, MachineSettings>;
  readonly leader: (Leader & { readonly epoch: number }) | undefined;
  readonly revision: Revision;
  /** Also of machines that are gone but still hold units. */
  readonly manifests: ReadonlyMap<MachineId, Manifest>;
  readonly statuses: ReadonlyMap<MachineId, MachineStatus>;
  /** What the cluster is to run; undefined while this machine has not got the adopted commit. */
  readonly desired: WantedState | undefined;
  /** All holds, in name order; also those on units that the repository no longer has. */
  readonly holds: ReadonlyMap<UnitName, Hold>;
  /** In the order in which they were told. */
  readonly events: readonly ClusterEvent[];
  /** What placement looks at in this picture, drains left out; undefined while `desired` is. */
  readonly placing: ClusterState | undefined;
  /**
   * What the engine would decide on this picture, if all could leave drained machines at once: why units have no machine, or
   * stay on one that they are to leave. Empty while `desired` is undefined.
   */
  readonly decisions: readonly Decision[];
  /** Registry values that cannot be read, and this agent's own present troubles (git, registry, systemd). */
  readonly problems: readonly ProblemRecord[];
}
