// What a resource of fleet's API v1 is given. Inner part of fleet.ts.
import type { ClusterPicture } from "../domain/cluster.ts";
import type { Person } from "../domain/submitted.ts";
import type { Clock } from "../ports/clock.ts";
import type { Hands } from "../ports/hands.ts";

export interface FleetInquiry {
  readonly request: Request;
  readonly query: URLSearchParams;
  /** Of a registry that is there. */
  readonly picture: ClusterPicture;
  readonly hands: Hands;
  readonly clock: Clock;
  readonly by: Person;
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal;
}
