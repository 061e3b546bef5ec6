// This machine's status: what systemd shows of the units that lie here, written to the registry when it changes.
// A burst of changes is one write; nothing is said before what lies here is known.
import type { UnitName } from "../domain/names.ts";
import type { MachineStatus, SystemdState, UnitStatus } from "../domain/status.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Registry } from "../ports/registry.ts";
import type { Systemd } from "../ports/systemd.ts";
import { encodeStatus, keys } from "../text/values.ts";
import type { Beat, Claim } from "./beat.ts";
import type { Local } from "./local.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** A first change waits this long for its neighbours; while changes keep coming, writes are this far apart. */
const gatherMs = 40;
const sustainedMs = 400;

export interface StatusPorts {
  readonly registry: Registry;
  readonly systemd: Systemd;
  readonly local: Local;
  readonly beat: Beat;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
}

export class Statuses {
  readonly #ports: StatusPorts;
  readonly #waker = new Waker();
  readonly #states = new Map<UnitName, SystemdState>();
  #stale: Set<UnitName> | "all" = "all";
  #status: MachineStatus | undefined;
  /** Under which claim: a store that was put back may number two alike. */
  #written: { readonly text: string; readonly claim: Claim; readonly revision: number } | undefined;
  #doubted = false;
  #writtenMs = 0;

  constructor(ports: StatusPorts) {
    this.#ports = ports;
  }

  /** As last read from systemd, whether or not the registry has it. */
  last(): MachineStatus | undefined {
    return this.#status;
  }

  /** The registry was away, and may have been put back to before what was written: it is looked at. */
  doubt(): void {
    this.#doubted = true;
    this.#waker.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { systemd, local, beat, clock, log, troubles } = this.#ports;
    const stops = [
      systemd.onChange((names) => this.#changed(names)),
      local.onChange(() => this.#waker.wake()),
      beat.onChange(() => this.#waker.wake()),
    ];
    try {
      await tick(
        { name: "status", waker: this.#waker, clock, log, troubles, pass: (each) => this.#pass(each) },
        signal,
      );
    } finally {
      for (const stop of stops) stop();
    }
  }

  #changed(names: ReadonlySet<UnitName> | undefined): void {
    if (names === undefined) this.#stale = "all";
    else if (this.#stale !== "all") for (const name of names) this.#stale.add(name);
    this.#waker.wake();
  }

  async #pass(signal: AbortSignal): Promise<undefined> {
    const { clock, local } = this.#ports;
    const sinceMs = clock.monotonicMs() - this.#writtenMs;
    await clock.sleep(sinceMs < sustainedMs ? sustainedMs - sinceMs : gatherMs, signal);
    const holding = local.holding();
    // Before the first manifest there is no position to speak of.
    if (holding?.manifest === undefined) return undefined;
    await this.#read(holding.placed.map((unit) => unit.name));
    // Jobs that had ended before systemd was asked: what it says is from after them.
    const ended = new Map(holding.placed.map((unit) => [unit.name, unit]));
    // Again: what lies here may have changed while systemd was asked.
    const { placed, problems, manifest } = local.holding() ?? holding;
    if (manifest === undefined) return undefined;
    const lying = new Set(placed.map((unit) => unit.name));
    const units = placed.map((unit): UnitStatus => {
      // Listed in any case: what is not listed counts as gone from this machine.
      const state = this.#states.get(unit.name) ?? nowhere;
      const problem = problems.get(unit.name);
      const { launched, restarted } = ended.get(unit.name) ?? {};
      return {
        ...state,
        name: unit.name,
        hash: unit.hash,
        ...(launched === unit.hash ? { started: true } : {}),
        ...(restarted === undefined ? {} : { restart: restarted }),
        ...(problem === undefined ? {} : { problem }),
      };
    });
    for (const entry of manifest.units) {
      const problem = problems.get(entry.name);
      if (entry.target === "released" || problem === undefined || lying.has(entry.name)) continue;
      units.push({ ...nowhere, name: entry.name, hash: entry.hash, problem });
    }
    units.sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#status = {
      machine: manifest.machine,
      seen: { epoch: manifest.epoch, generation: manifest.generation },
      units,
    };
    await this.#write(this.#status, signal);
    return undefined;
  }

  /** Asks systemd only about units that it said something about, and those never read. */
  async #read(lying: readonly UnitName[]): Promise<void> {
    const stale = this.#stale;
    this.#stale = new Set();
    const names = stale === "all" ? lying : lying.filter((name) => stale.has(name) || !this.#states.has(name));
    try {
      const states = names.length === 0 ? new Map<UnitName, SystemdState>() : await this.#ports.systemd.states(names);
      for (const [name, state] of states) this.#states.set(name, state);
    } catch (error) {
      this.#changed(stale === "all" ? undefined : stale);
      throw error;
    }
    const kept = new Set(lying);
    for (const name of this.#states.keys()) if (!kept.has(name)) this.#states.delete(name);
  }

  /** Under the machine's lease, and only while its claim on the id stands. Without presence it waits for the next claim. */
  async #write(status: MachineStatus, signal: AbortSignal): Promise<void> {
    const { registry, beat, clock } = this.#ports;
    const claim = beat.claim();
    if (claim === undefined) return;
    const key = keys.status(status.machine);
    if (this.#doubted && this.#written !== undefined) {
      const { entry } = await registry.get(key, signal);
      const { text, revision } = this.#written;
      if (entry?.modRevision !== revision || entry.value !== text) this.#written = undefined;
    }
    this.#doubted = false;
    const text = encodeStatus(status);
    if (this.#written?.text === text && this.#written.claim === claim) return;
    const written = await registry.write(
      {
        guards: [{ kind: "modified", key: keys.machine(status.machine), revision: claim.revision }],
        writes: [{ kind: "put", key, value: text, lease: claim.lease }],
      },
      signal,
    );
    if (!written.applied) {
      beat.doubt();
      return;
    }
    this.#written = { text, claim, revision: written.revision };
    this.#writtenMs = clock.monotonicMs();
  }
}

/** A unit that could not be written, or that systemd has not been asked about yet. */
const nowhere: SystemdState = {
  load: "not-found",
  active: "inactive",
  sub: "dead",
  result: "",
  sinceMs: 0,
  restarts: 0,
};
