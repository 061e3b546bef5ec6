// What the API may ask of the agent that it belongs to. Implemented by loops/view.ts.
import type { ClusterPicture } from "../domain/cluster.ts";
import type { MachineId } from "../domain/names.ts";
import type { SyncResult } from "../domain/sync.ts";

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
