// The mark in the registry that it was put back to an earlier state. Left by every machine that finds out, for the leader that
// comes next has nothing else to know it by; taken away by the one that has waited (engine.ts). Given to agent.ts.
import type { Machine } from "../domain/machine.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Registry } from "../ports/registry.ts";
import { encodeRestored, keys } from "../text/values.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** How soon it is tried again: before a leader may have waited for those that come back. */
const longestPauseMs = 2_000;

export interface RestoreMarkPorts {
  readonly machine: Pick<Machine, "id" | "hostname">;
  readonly registry: Pick<Registry, "write">;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
}

export class RestoreMark {
  readonly #ports: RestoreMarkPorts;
  readonly #waker = new Waker();
  #found = 0;
  #left = 0;

  constructor(ports: RestoreMarkPorts) {
    this.#ports = ports;
  }

  /** The registry was found put back. */
  note(): void {
    this.#found++;
    this.#waker.wake();
  }

  /** Until `signal`. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log, troubles } = this.#ports;
    await tick(
      {
        name: "restore-mark",
        waker: this.#waker,
        clock,
        log,
        troubles,
        longestPauseMs,
        pass: (each) => this.#pass(each),
      },
      signal,
    );
  }

  async #pass(signal: AbortSignal): Promise<undefined> {
    const found = this.#found;
    if (found === this.#left) return undefined;
    const { machine, registry, clock, log } = this.#ports;
    const key = keys.restored;
    const value = encodeRestored({ machine: machine.id, hostname: machine.hostname, atMs: clock.wallMs() });
    // One is enough: where another machine was first, its mark stands
    const { applied } = await registry.write(
      { guards: [{ kind: "created", key, revision: 0 }], writes: [{ kind: "put", key, value }] },
      signal,
    );
    if (applied) log.warn("registry.restored");
    this.#left = found;
    return undefined;
  }
}
