// What machines that are gone were called: the registry keeps no name of theirs, but the event of a loss begins with it. Inner
// part of report/.
import type { MachineId } from "../domain/names.ts";
import type { ClusterEvent } from "../domain/submitted.ts";

export type ToldEvent = Pick<ClusterEvent, "kind" | "machine" | "message">;

/** As the leader was told it last; "" where no event is left, or nobody knew. */
export function nameOfGone(events: readonly ToldEvent[], machine: MachineId): string {
  const loss = events.findLast((event) => event.kind === "machine-lost" && event.machine === machine);
  const name = /^(\S+) is lost; it had /.exec(loss?.message ?? "")?.[1] ?? "";
  // Of a machine that this leader never saw it is the beginning of its id
  return machine.startsWith(name) ? "" : name;
}
