// A simulated machine's systemd: jobs take their time, fail and hang, and go on without whoever asked for them. Every unit that
// comes up or goes down is told to whoever watches.
import type { UnitName } from "../../agent/domain/names.ts";
import { Problem } from "../../agent/domain/problem.ts";
import type { SystemdState } from "../../agent/domain/status.ts";
import type { JobResult, Systemd } from "../../agent/ports/systemd.ts";
import { systemdHash } from "../../agent/text/hash.ts";
import type { FakeClock } from "../fakes/fake-clock.ts";
import { type FakeJob, FakeSystemd, aborted } from "../fakes/fake-systemd.ts";
import type { Dice } from "./dice.ts";

/** How jobs go, as shares of all. */
export interface Health {
  readonly slow: number;
  readonly startFails: number;
  readonly startHangs: number;
  readonly stopFails: number;
}

export const healthy: Health = { slow: 0, startFails: 0, startHangs: 0, stopFails: 0 };

export interface HostWorld {
  readonly clock: FakeClock;
  readonly dice: Dice;
  readonly health: () => Health;
  readonly onUp: (unit: UnitName) => void;
  readonly onDown: (unit: UnitName, why: "stopped" | "failed" | "power") => void;
  /** What the agent asks for, before it has any effect. */
  readonly onJob: (job: FakeJob, unit: UnitName) => void;
  readonly onRemove: (unit: UnitName) => void;
  /** Work of the world that goes on beside everything else. */
  readonly act: (work: () => Promise<void>) => void;
}

/** Whether systemd makes the same of both texts: a change of what flotilla alone reads restarts nothing. */
export function isSameForSystemd(one: string | undefined, other: string | undefined): boolean {
  if (one === undefined || other === undefined || one === other) return one === other;
  const [first, second] = [one, other].map((text) => {
    const fence = text.includes("OnPartition=stop") ? { stepMs: 1 } : undefined;
    return systemdHash({ text, dropIns: [], fence });
  });
  return first === second;
}

const longestJobMs = 8_000;
const hangMs = 90_000;
/** A unit with OnPartition=stop has ten seconds unless it says otherwise. */
const usualStopSec = 10;

export class SimSystemd extends FakeSystemd {
  readonly #world: HostWorld;
  readonly #last = new Map<UnitName, Promise<unknown>>();
  readonly #queued = new Map<UnitName, number>();
  readonly #up = new Set<UnitName>();
  readonly #hangs = new Set<UnitName>();
  readonly #busy = new Map<UnitName, number>();
  readonly #running = new Map<UnitName, string | undefined>();
  readonly #told = new Map<UnitName, string | undefined>();
  #boots = 0;
  /** Units whose last start failed or that failed by themselves: flotilla leaves those as they are. */
  readonly failed = new Set<UnitName>();

  constructor(world: HostWorld) {
    super({ wallMs: () => world.clock.wallMs(), clock: world.clock });
    this.#world = world;
  }

  up(): ReadonlySet<UnitName> {
    return this.#up;
  }

  /** The text that lay there when it was last asked to take one up: that may be still to come. */
  wasTold(name: UnitName): string | undefined {
    return this.#told.get(name);
  }

  /** Whether a job of it is under way. */
  isBusy(name: UnitName): boolean {
    return this.#busy.has(name);
  }

  /** The text that it has taken up. */
  runs(name: UnitName): string | undefined {
    return this.#running.get(name);
  }

  override setState(name: UnitName, change: Partial<SystemdState>): void {
    super.setState(name, change);
    if (change.active !== undefined) this.#note(name, change.active);
  }

  override reboot(): void {
    super.reboot();
    this.#boots++;
    this.#last.clear();
    this.#queued.clear();
    this.#running.clear();
    this.#busy.clear();
    this.#told.clear();
    this.failed.clear();
    for (const name of [...this.#up]) this.#down(name, "power");
  }

  override open(): Systemd {
    const handle = super.open();
    return {
      ...handle,
      run: (job, name, signal) => this.#job(handle, { job, name, signal }),
      remove: (name) => {
        this.#world.onRemove(name);
        return handle.remove(name);
      },
    };
  }

  /** A unit ends by itself. */
  fail(name: UnitName): void {
    this.failed.add(name);
    this.setState(name, { active: "failed", sub: "failed", result: "exit-code" });
  }

  #note(name: UnitName, active: string): void {
    const isUp = active === "active" || active === "activating" || active === "deactivating";
    if (isUp === this.#up.has(name)) return;
    if (!isUp) {
      this.#down(name, active === "failed" ? "failed" : "stopped");
      return;
    }
    this.#up.add(name);
    const { dice } = this.#world;
    const stopSec = Number(/^TimeoutStopSec=(\d+)$/m.exec(this.textOf(name) ?? "")?.[1] ?? usualStopSec);
    // The last moment is the one that matters
    const longestFallMs = stopSec * 1_000 - 100;
    this.fallsWithin(name, dice.chance(0.5) ? longestFallMs : dice.between(0, longestFallMs));
    this.#world.onUp(name);
  }

  #down(name: UnitName, why: "stopped" | "failed" | "power"): void {
    this.#up.delete(name);
    this.#world.onDown(name, why);
  }

  async #job(
    handle: Systemd,
    { job, name, signal }: { readonly job: FakeJob; readonly name: UnitName; readonly signal: AbortSignal },
  ): Promise<JobResult> {
    if (signal.aborted) throw aborted(signal); // called back before it got here
    this.#world.onJob(job, name);
    if (job !== "stop") this.#told.set(name, this.textOf(name));
    // Where that fails, nobody knows what it has come to
    else this.#told.delete(name);
    const before = this.#last.get(name) ?? Promise.resolve();
    const number = (this.#queued.get(name) ?? 0) + 1;
    this.#queued.set(name, number);
    const boot = this.#boots;
    const isLast = (): boolean => this.#boots === boot && this.#queued.get(name) === number;
    // A start that hangs would never end by itself
    if (this.#hangs.has(name)) await handle.run("stop", name, new AbortController().signal);
    // A job goes on without whoever asked for it; one that has another behind it gives way.
    const work = before.then(() => this.#carryOut(handle, { job, name, isLast }));
    this.#busy.set(name, number);
    const done = (): void => {
      if (this.#busy.get(name) === number) this.#busy.delete(name);
    };
    this.#last.set(name, work.then(done, done));
    let leave = (): void => undefined;
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(aborted(signal));
      if (signal.aborted) leave();
      else signal.addEventListener("abort", leave, { once: true });
    });
    try {
      return await Promise.race([work, left]);
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }

  async #carryOut(
    handle: Systemd,
    { job, name, isLast }: { readonly job: FakeJob; readonly name: UnitName; readonly isLast: () => boolean },
  ): Promise<JobResult> {
    const { dice, clock, health } = this.#world;
    const boot = this.#boots;
    const how = health();
    const slowMs = dice.chance(how.slow) ? dice.between(1, longestJobMs) : 0;
    const fails = dice.chance(job === "stop" ? how.stopFails : how.startFails);
    const hangs = job !== "stop" && dice.chance(how.startHangs);
    if (!isLast()) return { result: "canceled", problem: problemOf(job, name) };
    if (job === "stop") {
      const { active } = this.state(name);
      const isUp = active === "active" || active === "activating";
      if (slowMs > 0 && isUp) this.setState(name, { active: "deactivating", sub: "stop-sigterm" });
      if (slowMs > 0) await clock.sleep(slowMs);
      if (this.#boots !== boot) return { result: "canceled", problem: problemOf(job, name) }; // the power went meanwhile
      if (fails && isUp) {
        this.setState(name, { active: "active", sub: "running" });
        return { result: "failed", problem: problemOf(job, name) };
      }
      return handle.run(job, name, new AbortController().signal);
    }
    if (slowMs > 0) await clock.sleep(slowMs);
    if (!isLast()) return { result: "canceled", problem: problemOf(job, name) };
    this.#running.set(name, this.textOf(name));
    if (job === "reload") return handle.run(job, name, new AbortController().signal);
    const start = fails ? ({ kind: "fails", status: 1 } as const) : ({ kind: hangs ? "hangs" : "up" } as const);
    this.onStart(name, start);
    if (job === "restart" && this.#up.has(name)) this.setState(name, { active: "inactive", sub: "dead" });
    this.failed.delete(name);
    if (fails) this.failed.add(name);
    if (hangs) {
      this.#hangs.add(name);
      this.#endLater(name, isLast);
    }
    return handle.run(job, name, new AbortController().signal).finally(() => this.#hangs.delete(name));
  }

  /** What hangs comes to its end: up, or not within its TimeoutStartSec=. */
  #endLater(name: UnitName, isLast: () => boolean): void {
    const { dice, clock, act } = this.#world;
    const ends = dice.chance(0.5) ? "done" : "failed";
    act(async () => {
      const untilMs = clock.monotonicMs() + dice.between(1_000, hangMs);
      while (clock.monotonicMs() < untilMs && isLast()) await clock.sleep(500);
      if (this.state(name).active !== "activating") return;
      if (ends === "failed") this.failed.add(name);
      this.finish(name, ends);
    });
  }
}

function problemOf(job: FakeJob, name: UnitName): Problem {
  return new Problem("systemd-job", `Cannot ${job} unit "${name}"`);
}
