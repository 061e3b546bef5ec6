// One renewal of a lease, asked for again and again while there is no answer. Given to beat.ts and lease.ts. A request that
// is lost takes its whole deadline to be known as lost; meanwhile the way may be open again, and the lease has little time.
import type { Clock } from "../ports/clock.ts";
import type { LeaseId, Registry } from "../ports/registry.ts";
import { childOf } from "./pauses.ts";

export interface Renewal {
  readonly registry: Pick<Registry, "renewLease">;
  readonly clock: Clock;
  readonly id: LeaseId;
  /** Another request goes out beside those without an answer, this often. */
  readonly everyMs: number;
}

export interface Renewed {
  /** Monotonic, of what was answered. */
  readonly sentMs: number;
  /** As `Registry.renewLease` gives it. */
  readonly revision: number;
}

/**
 * The first answer counts, good or bad: settles as `Registry.renewLease` does. Leaves no request and no timer behind.
 */
export async function renew({ registry, clock, id, everyMs }: Renewal, signal: AbortSignal): Promise<Renewed> {
  const { controller, dispose } = childOf(signal);
  const answers = new Set<Promise<Renewed>>();
  const ask = (): void => {
    const sentMs = clock.monotonicMs();
    const answer = registry.renewLease(id, controller.signal).then((revision) => ({ sentMs, revision }));
    answer.catch(() => undefined); // one that comes after the first is not heard
    answers.add(answer);
  };
  try {
    for (;;) {
      ask();
      const pause = clock.sleep(everyMs, controller.signal).then(
        () => "again" as const,
        () => "over" as const,
      );
      const first = await Promise.race([...answers, pause]);
      if (typeof first === "object") return first;
      signal.throwIfAborted();
    }
  } finally {
    dispose();
  }
}
