// Units with OnPartition=stop run on a permit that ends by itself: systemd's own timer takes it away, whatever has become of
// us, and with it goes every unit that requires it. Given to systemd.ts and unit-files.ts; the only one that knows how.
import { type UnitName, unitNameParts } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { JobResult } from "../../ports/systemd.ts";
import { managerInterface, managerPath } from "./connection.ts";
import type { JobKind } from "./jobs.ts";
import { type Caller, property, whole } from "./units.ts";

/** Up while the units may run. They have it as Requisite=: it takes them down with it, and they cannot start without it. */
const permitTarget = "flotilla-permit.target";
/** Its start takes the permit away. */
const fenceTarget = "flotilla-fence.target";
/** A timer of this template gives the permit, until the moment that its instance names. */
const grantTimer = "flotilla-permit";
/** One of this template takes over where the permit still stands, and fails where it does not. */
const extendTimer = "flotilla-permit-more";

/** It comes after all drop-ins of the repository, whose names begin with three digits, and of most hosts. */
export const fenceDropIn = "zz-flotilla-fence.conf";

/**
 * What such a unit gets beside its own texts: `stepMs` is written out, so that no default of the host's makes its stop
 * longer than is reckoned with. Dependencies cannot be taken back by another drop-in.
 */
export function fenceText(name: UnitName, stepMs: number): string {
  const { type } = unitNameParts(name);
  const lines = [
    `# OnPartition=stop: ${stepMs} ms for each step`,
    "[Unit]",
    `Requisite=${permitTarget}`,
    `After=${permitTarget}`,
  ];
  if (type === "service") lines.push("[Service]", `TimeoutStopSec=${stepMs}ms`, `TimeoutAbortSec=${stepMs}ms`);
  if (type === "socket") lines.push("[Socket]", `TimeoutSec=${stepMs}ms`);
  return [...lines, ""].join("\n");
}

/** The step that such a text is made for; undefined for a text that is not ours, or not as we write it. */
export function fenceStepMs(name: UnitName, text: string): number | undefined {
  const stepMs = Number(/^# OnPartition=stop: ([0-9]{1,9}) ms /.exec(text)?.[1] ?? NaN);
  return text === fenceText(name, stepMs) ? stepMs : undefined;
}

/**
 * `%i` is microseconds since the manager began, on the monotonic clock: however late systemd hears of a timer, its moment is
 * the same. One that is over at its start takes the permit away at once.
 */
const timerText = (dependency: "Wants" | "Requisite"): string =>
  [
    "[Unit]",
    "Description=The end of flotilla's permit for units with OnPartition=stop",
    "DefaultDependencies=no",
    `${dependency}=${permitTarget}`,
    `After=${permitTarget}`,
    "[Timer]",
    "OnStartupSec=%ius",
    "AccuracySec=10ms",
    "RemainAfterElapse=no",
    `Unit=${fenceTarget}`,
    "",
  ].join("\n");

/** What must lie in systemd's runtime folder for all of this, by name. */
export const permitFiles: ReadonlyMap<string, string> = new Map([
  [permitTarget, "[Unit]\nDescription=Units with OnPartition=stop may run on this machine\nDefaultDependencies=no\n"],
  [
    fenceTarget,
    `[Unit]\nDescription=Units with OnPartition=stop are kept down: this machine is cut off\nDefaultDependencies=no\nConflicts=${permitTarget}\n`,
  ],
  [`${grantTimer}@.timer`, timerText("Wants")],
  [`${extendTimer}@.timer`, timerText("Requisite")],
]);

export interface PermitOptions {
  readonly call: Caller;
  /** Without a turn: renewals wait for no slow start. */
  readonly run: (job: JobKind, unit: UnitName, signal: AbortSignal) => Promise<JobResult>;
  readonly clock: Clock;
}

export class Permit {
  readonly #options: PermitOptions;
  readonly #over = new AbortController();
  /** Timers that may be running: all but the newest are to be stopped. Undefined: an earlier agent may have left some. */
  #timers: Set<UnitName> | undefined;
  #turn: Promise<void> = Promise.resolve();
  /** Microseconds of CLOCK_MONOTONIC when the manager began. */
  #startUs: bigint | undefined;

  constructor(options: PermitOptions) {
    this.#options = options;
  }

  close(reason: Problem): void {
    this.#over.abort(reason);
  }

  /** After a new connection: another manager may answer. */
  forget(): void {
    this.#timers = undefined;
    this.#startUs = undefined;
  }

  /** False when there was no permit to extend. */
  async extend(untilMs: number): Promise<boolean> {
    return this.#arm(extendTimer, untilMs);
  }

  async grant(untilMs: number): Promise<void> {
    if (await this.#arm(grantTimer, untilMs)) return;
    throw new Problem("systemd-permit", "Cannot let units with OnPartition=stop run", {
      hint: `systemd will not start ${fenceTarget}'s timer; is one of flotilla's own units masked`,
    });
  }

  /** One after another: each stops the timers of those before it, and no two may stop each other's. */
  #arm(template: string, untilMs: number): Promise<boolean> {
    const armed = this.#turn.then(() => this.#armInTurn(template, untilMs));
    this.#turn = armed.then(
      () => undefined,
      () => undefined, // whoever asked is told
    );
    return armed;
  }

  async #armInTurn(template: string, untilMs: number): Promise<boolean> {
    const { run } = this.#options;
    const timer = `${template}@${await this.#moment(untilMs)}.timer` as UnitName;
    const timers = (this.#timers ??= new Set(await this.#left()));
    timers.add(timer);
    const started = await run("start", timer, this.#over.signal);
    if (started.result !== "done") {
      timers.delete(timer);
      if (started.result === "dependency") return false;
      throw started.problem ?? new Problem("systemd-permit", `Cannot start ${timer}: it is ${started.result}`);
    }
    // Only now that the new one counts. One that would not stop is told again the next time, well before its own moment.
    const old = [...timers].filter((each) => each !== timer);
    await Promise.all(old.map((each) => this.#stop(each, timers)));
    return true;
  }

  async #stop(timer: UnitName, timers: Set<UnitName>): Promise<void> {
    const { result, problem } = await this.#options.run("stop", timer, this.#over.signal);
    if (result === "done") timers.delete(timer);
    else if (problem !== undefined) throw problem;
  }

  /** Both clocks in one breath: were this process stopped in between, the moment would only be earlier. */
  async #moment(untilMs: number): Promise<bigint> {
    this.#startUs ??= await this.#managerStart();
    const nowUs = process.hrtime.bigint() / 1_000n;
    const leftUs = BigInt(Math.floor((untilMs - this.#options.clock.monotonicMs()) * 1_000));
    const moment = nowUs + leftUs - this.#startUs;
    return moment > 0n ? moment : 1n;
  }

  async #managerStart(): Promise<bigint> {
    const { call } = this.#options;
    const which = { interface: managerInterface, name: "UserspaceTimestampMonotonic" };
    return BigInt(whole(await property(managerPath, which, call)));
  }

  /** What an earlier agent armed. */
  async #left(): Promise<readonly UnitName[]> {
    const patterns = [`${grantTimer}@*.timer`, `${extendTimer}@*.timer`];
    const [rows] = await this.#options.call({
      path: managerPath,
      interface: managerInterface,
      member: "ListUnitsByPatterns",
      signature: "asas",
      body: [[], patterns],
    });
    return (Array.isArray(rows) ? (rows as unknown[]) : []).flatMap((row) =>
      Array.isArray(row) && typeof row[0] === "string" ? [row[0] as UnitName] : [],
    );
  }
}
