// Units with OnPartition=stop run on a permit that ends by itself: systemd's own timer takes it away, whatever has become of
// us, and with it goes every unit that requires it. Given to systemd.ts and unit-files.ts; the only one that knows how.
import { type UnitName, unitNameParts } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { JobResult } from "../../ports/systemd.ts";
import { managerInterface, managerPath } from "./connection.ts";
import type { JobKind } from "./jobs.ts";
import type { Signal } from "./peer.ts";
import { type Caller, list, property, text, whole } from "./units.ts";

/** Up while the units may run. They have it as Requisite=: it takes them down with it, and they cannot start without it. */
const permitTarget = "flotilla-permit.target";
/**
 * Its start takes the permit away, and whatever starts such a unit meanwhile is refused: it is asked for in a way that no later
 * job can take the place of. No timer can ask in that way, only what follows a failure.
 */
const downTarget = "flotilla-down.target";
/** What a timer starts: it cannot come up, and `downTarget` follows. */
const fenceTarget = "flotilla-fence.target";
/** What `fenceTarget` lacks. */
const neverTarget = "flotilla-never.target";
/** A timer of this template gives the permit, until the moment that its instance names. */
const grantTimer = "flotilla-permit";
/** One of this template takes over where the permit still stands, which is for us to know: one that required it went with it. */
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
 * A permit without its timer would have no end: another target (`systemctl isolate`) takes away neither, a shutdown or a soft
 * reboot both.
 */
function unitText(description: string, ...lines: readonly string[]): string {
  const head = ["[Unit]", `Description=${description}`, "DefaultDependencies=no", "IgnoreOnIsolate=yes"];
  return [...head, ...lines, ""].join("\n");
}

const untilShutdown = ["Conflicts=shutdown.target", "Before=shutdown.target"];
const irreversibly = [`OnFailure=${downTarget}`, "OnFailureJobMode=replace-irreversibly"];

/**
 * `%i` is microseconds since the manager began, on the monotonic clock: however late systemd hears of a timer, its moment is
 * the same. One that is over at its start takes the permit away at once.
 */
const timerText = (...lines: readonly string[]): string =>
  unitText(
    "The end of flotilla's permit for units with OnPartition=stop",
    ...lines,
    ...untilShutdown,
    ...irreversibly,
    "[Timer]",
    "OnStartupSec=%ius",
    "AccuracySec=10ms",
    "RemainAfterElapse=no",
    `Unit=${fenceTarget}`,
  );

/** What must lie in systemd's runtime folder for all of this, by name; each after those that it needs. */
export const permitFiles: ReadonlyMap<string, string> = new Map([
  // By hand it would be one without an end
  [
    permitTarget,
    unitText("Units with OnPartition=stop may run on this machine", "RefuseManualStart=yes", ...untilShutdown),
  ],
  [
    downTarget,
    unitText("Units with OnPartition=stop are kept down: this machine is cut off", `Conflicts=${permitTarget}`),
  ],
  [neverTarget, unitText("What flotilla-fence.target lacks, for it to fail", "RefuseManualStart=yes")],
  [
    fenceTarget,
    unitText(
      "The end of the time for units with OnPartition=stop",
      `Conflicts=${permitTarget}`,
      `Requisite=${neverTarget}`,
      `After=${neverTarget}`,
      ...irreversibly,
    ),
  ],
  [`${grantTimer}@.timer`, timerText(`Wants=${permitTarget}`, `After=${permitTarget}`)],
  [`${extendTimer}@.timer`, timerText()],
]);

/** None of these may be missing or masked: the permit would not end. */
const parts = [permitTarget, downTarget, neverTarget, fenceTarget];

export interface PermitOptions {
  readonly call: Caller;
  /** Without a turn: renewals wait for no slow start. */
  readonly run: (job: JobKind, unit: UnitName, signal: AbortSignal) => Promise<JobResult>;
  /** Has the units above lie where systemd finds them; the Problem: the host has something in their place. */
  readonly prepare: () => Promise<Problem | undefined>;
  readonly clock: Clock;
}

/** `going`: what it let run is being stopped, and nothing can call that off. */
type State = "up" | "going" | "down";

export class Permit {
  readonly #options: PermitOptions;
  readonly #over = new AbortController();
  /** Timers that may be running: all but the newest are to be stopped. Undefined: an earlier agent may have left some. */
  #timers: Set<UnitName> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Microseconds of CLOCK_MONOTONIC when the manager began. */
  #startUs: bigint | undefined;
  /** Somebody wants a permit, and has none. */
  #isAwaited = false;

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

  /** Whether a permit that was refused may be had now: what the one before let run is down. */
  signalled({ member, body }: Signal): boolean {
    if (!this.#isAwaited || member !== "JobRemoved" || text(body[2]) !== permitTarget) return false;
    this.#isAwaited = false;
    return true;
  }

  /** False when there was no permit to extend, and where it could not be: then it ends. */
  extend(untilMs: number): Promise<boolean> {
    return this.#inTurn(async () => {
      const { state, unfit } = await this.#look();
      if (state !== "up") return false;
      const problem = unfit ?? (await this.#arm(extendTimer, untilMs));
      // It may have ended before the new timer counted
      if (problem === undefined) return (await this.#look()).state === "up";
      await this.#end();
      return false;
    });
  }

  /** `first` is done where none stands and before one does. Rejects with "systemd-permit" where systemd will not have it. */
  grant(untilMs: number, first: () => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      // Before it is asked: the end of a job may be told at once
      this.#isAwaited = true;
      const { state, unfit } = await this.#look();
      if (state === "going") throw refusedProblem("What ran here is still being stopped, and starts once it is down");
      if (unfit !== undefined) throw refusedProblem(unfit.hint, unfit);
      if (state === "down") await first();
      const problem = await this.#arm(grantTimer, untilMs);
      if (problem !== undefined) throw refusedProblem(problem.hint, problem);
      this.#isAwaited = false;
    });
  }

  /** One after another: each stops the timers of those before it, and no two may stop each other's. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined); // whoever asked is told
    return done;
  }

  async #look(): Promise<{ readonly state: State; readonly unfit: Problem | undefined }> {
    const foreign = await this.#options.prepare();
    const rows = await list(parts, this.#options.call);
    const missing = parts.find((name) => rows.get(name)?.load !== "loaded");
    const permit = rows.get(permitTarget);
    return {
      state: permit?.active !== "active" ? "down" : permit.jobType === "stop" ? "going" : "up",
      unfit: foreign ?? (missing === undefined ? undefined : missingProblem(missing, rows.get(missing)?.load ?? "")),
    };
  }

  /** The Problem: systemd will not start the timer. */
  async #arm(template: string, untilMs: number): Promise<Problem | undefined> {
    const timer = `${template}@${await this.#moment(untilMs)}.timer` as UnitName;
    const timers = (this.#timers ??= new Set(await this.#left()));
    timers.add(timer);
    const { result, problem } = await this.#options.run("start", timer, this.#over.signal);
    if (result !== "done") {
      timers.delete(timer);
      return problem ?? new Problem("systemd-job", `Cannot start ${timer}: it is ${result}`);
    }
    // Only now that the new one counts. One that would not stop is told again the next time, well before its own moment.
    const old = [...timers].filter((each) => each !== timer);
    await Promise.all(
      old.map(async (each) => {
        if ((await this.#options.run("stop", each, this.#over.signal)).result === "done") timers.delete(each);
      }),
    );
    return undefined;
  }

  /** Of one that could not be extended: whether its own timer would end it is not sure. */
  async #end(): Promise<void> {
    const body = [permitTarget, "replace-irreversibly"];
    await this.#options.call({
      path: managerPath,
      interface: managerInterface,
      member: "StopUnit",
      signature: "ss",
      body,
    });
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

function refusedProblem(hint: string | undefined, cause?: unknown): Problem {
  return new Problem("systemd-permit", "Cannot let units with OnPartition=stop run", { hint, cause });
}

function missingProblem(name: string, load: string): Problem {
  return new Problem("systemd-job", `Cannot use ${name}: systemd says ${load}`, {
    hint: load === "masked" ? `${name} is masked on this machine` : `systemd cannot read ${name}`,
  });
}
