// How this machine's first boot stands: what the run left in its result, what systemd says of the units it started, and what
// discovery is about. Honest above all: what is not known to be whole is not called so.
import type { BootResult, BootStatus, BootUnit } from "../domain/boot-result.ts";
import type { JoinProgress } from "../domain/discovery.ts";
import { Problem, type ProblemRecord, toRecord } from "../domain/problem.ts";
import type { Clock } from "../ports/clock.ts";
import type { Disk } from "../ports/disk.ts";
import type { HostSetup, UnitLook } from "../ports/host-setup.ts";
import type { RunLock } from "../ports/run-lock.ts";
import { parseBootResult } from "../text/boot-result.ts";
import { bootFiles } from "./boot-world.ts";
import { progressFile } from "./join-wait.ts";

const bootstrapUnit = "flotilla-bootstrap.service";
const discoveryUnit = "flotilla-discovery.service";
/** Between two looks while it is waited for. */
const lookAgainMs = 500;

export interface StatusWorld {
  readonly bootId: string;
  readonly disk: Disk;
  /** /run/flotilla, where discovery says what it is about. */
  readonly runDisk: Disk;
  readonly lock: RunLock;
  readonly setup: HostSetup;
  readonly clock: Clock;
}

/** How it stands now. Rejects with a Problem when systemd or the disk cannot be asked. */
export async function bootStatus(world: StatusWorld): Promise<BootStatus> {
  const read = await readResult(world);
  const result = read?.bootId === world.bootId ? read : undefined;
  if (result === undefined) return nothingRan(world);
  if (result.state === "running") return running(world, result);
  const units = await unitsOf(world, result.watch);
  const progress = await discoveryProgress(world, units);
  const waitsFor = [
    ...units
      .filter(({ standing }) => standing === "starting" || standing === "waits")
      .map(({ unit, words, sinceMs }) => ({ what: `${unit}: ${words}`, sinceMs })),
    ...(progress === undefined ? [] : [{ what: `discovery: ${progress.what}`, sinceMs: progress.sinceMs }]),
  ];
  const problems = [...result.problems, ...units.flatMap(unitProblem)];
  const shared = { result, units, waitsFor, problems, isMoving: waitsFor.length > 0 };
  if (result.state === "failed") {
    const isRefused = !result.steps.some(({ stage, result: word }) => stage !== "reach" && word !== "skipped");
    // Nothing of it is started, whatever other units do
    return { ...shared, standing: isRefused ? "refused" : "failed", code: 1, isMoving: false };
  }
  if (units.some(({ standing }) => standing === "failed" || standing === "not-started"))
    return { ...shared, standing: "failed", code: 1 };
  if (waitsFor.length > 0) return { ...shared, standing: "waiting", code: 2 };
  const isWhole = result.steps.every(({ result: word }) => word === "done" || word === "same");
  return { ...shared, standing: isWhole ? "whole" : "partly", code: isWhole ? 0 : 2 };
}

/**
 * Looks until nothing moves any more, or for `timeoutMs`; `progress` is called with each look in between. Rejects with the
 * signal's reason.
 */
export async function waitForBoot(
  world: StatusWorld,
  {
    timeoutMs,
    signal,
    progress,
  }: {
    readonly timeoutMs: number | undefined;
    readonly signal: AbortSignal;
    readonly progress: (status: BootStatus) => void;
  },
): Promise<BootStatus> {
  const { clock } = world;
  const endMs = timeoutMs === undefined ? Infinity : clock.monotonicMs() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const status = await bootStatus(world);
    if (!status.isMoving || clock.monotonicMs() >= endMs) return status;
    progress(status);
    await clock.sleep(Math.min(lookAgainMs, Math.max(1, endMs - clock.monotonicMs())), signal);
  }
}

async function readResult({ disk }: StatusWorld): Promise<BootResult | undefined> {
  const text = await disk.read(bootFiles.result);
  if (text === undefined) return undefined;
  const result = parseBootResult(text);
  if (result.ok) return result.value;
  throw new Problem("boot-result", "Cannot read the result of the last first boot", {
    hint: "systemctl restart flotilla-bootstrap makes a new one",
    cause: result.problems[0],
  });
}

/** No run has left a word at this boot: is one to come? */
async function nothingRan(world: StatusWorld): Promise<BootStatus> {
  const shared = { result: undefined, units: [], problems: [] };
  const holder = await world.lock.holder();
  const look = (await world.setup.unitStates([bootstrapUnit])).get(bootstrapUnit);
  const isComing = holder !== undefined || look?.job !== undefined || look?.active === "activating";
  if (isComing) {
    const what = holder === undefined ? `${bootstrapUnit} to have its turn` : "a run that has just begun";
    const sinceMs = holder?.sinceMs ?? look?.sinceMs ?? 0;
    return { ...shared, standing: "working", code: 2, isMoving: true, waitsFor: [{ what, sinceMs }] };
  }
  const problem = new Problem("boot-none", "Cannot tell of a first boot: none has run since this machine started", {
    hint: noneHint(look),
  });
  return { ...shared, problems: [toRecord(problem)], standing: "none", code: 1, isMoving: false, waitsFor: [] };
}

function noneHint(look: UnitLook | undefined): string {
  if (look === undefined || look.load === "not-found") return `There is no ${bootstrapUnit}: sudo flotilla bootstrap`;
  if (look.isSkipped) return "It is switched off: by /etc/flotilla/no-bootstrap, or another condition of its unit";
  if (look.active === "failed") return `It failed before it could say a word: journalctl -b -u ${bootstrapUnit}`;
  return `systemctl enable --now ${bootstrapUnit}`;
}

async function running({ lock, clock }: StatusWorld, result: BootResult): Promise<BootStatus> {
  const shared = { result, units: [] };
  if ((await lock.holder())?.pid === result.pid) {
    const { what, sinceMs } = result.now ?? { what: "working", sinceMs: clock.wallMs() };
    return {
      ...shared,
      problems: [],
      standing: "working",
      code: 2,
      isMoving: true,
      waitsFor: [{ what: `the boot: ${what}`, sinceMs }],
    };
  }
  const problem = new Problem("boot-ended", "Cannot tell how far the boot came: its process ended before it was over", {
    hint: `The next run goes on from there: systemctl restart ${bootstrapUnit}`,
  });
  return { ...shared, problems: [toRecord(problem)], standing: "failed", code: 1, isMoving: false, waitsFor: [] };
}

async function unitsOf({ setup }: StatusWorld, watch: readonly string[]): Promise<readonly BootUnit[]> {
  if (watch.length === 0) return [];
  const looks = await setup.unitStates(watch);
  return watch.map((unit) => standingOf(unit, looks.get(unit)));
}

function standingOf(unit: string, look: UnitLook | undefined): BootUnit {
  if (look === undefined) return { unit, standing: "failed", words: "unknown to systemd", sinceMs: 0 };
  const { load, active, sub, result, job, isSkipped, sinceMs, isOneshot, failedNeed } = look;
  const state = `${active} (${sub})`;
  const as = (standing: BootUnit["standing"], words: string): BootUnit => ({ unit, standing, words, sinceMs });
  if (load === "not-found" && active === "inactive" && job === undefined) return as("failed", "there is no such unit");
  if (load === "masked") return as("failed", "masked");
  if (active === "active" && job === undefined) return as("up", state);
  if (active === "failed" && job === undefined) return as("failed", `failed (${result === "" ? sub : result})`);
  if (active === "activating" || active === "reloading" || active === "deactivating") {
    const again = sub === "auto-restart" ? `starting again after it failed (${result})` : state;
    return as("starting", again);
  }
  if (job !== undefined) return as("waits", `waits for its turn to ${job}`);
  if (isSkipped) return as("left", "not to be started here: a condition does not hold");
  if (failedNeed !== undefined) return as("not-started", `not started: ${failedNeed}, which it needs, failed`);
  if (sinceMs > 0 && result !== "success" && result !== "") return as("failed", `${state}, ${result}`);
  // Of a oneshot that is over systemd may remember nothing; one that failed it remembers
  if (isOneshot || sinceMs > 0) return as("finished", isOneshot ? "run to its end" : state);
  return as("not-started", "not running: not started, or over already");
}

function unitProblem({ unit, standing, words }: BootUnit): readonly ProblemRecord[] {
  if (standing !== "failed" && standing !== "not-started") return [];
  const hint = `systemctl status ${unit}; journalctl -b -u ${unit}`;
  return [toRecord(new Problem("boot-unit", `Cannot count on unit "${unit}": ${words}`, { hint }))];
}

/** Undefined: it is not waited for, or its unit says more. */
async function discoveryProgress(
  { runDisk }: StatusWorld,
  units: readonly BootUnit[],
): Promise<JoinProgress | undefined> {
  const text = await runDisk.read(progressFile);
  const progress = text === undefined ? undefined : parseProgress(text);
  if (progress === undefined || progress.state === "done") return undefined;
  // Its unit has failed for good, or systemd tries again: then that is what there is to say
  const isOver =
    progress.state === "failed" &&
    !units.some(({ unit, standing }) => unit === discoveryUnit && standing === "starting");
  return isOver ? undefined : progress;
}

/** Written by another process of this very program; half a text is none, and the next look sees the whole one. */
function parseProgress(text: string): JoinProgress | undefined {
  try {
    const { state, what, sinceMs, tries, lastError, missing } = JSON.parse(text) as Readonly<Record<string, unknown>>;
    if (state !== "asking" && state !== "waiting" && state !== "done" && state !== "failed") return undefined;
    if (typeof what !== "string" || typeof sinceMs !== "number") return undefined;
    return {
      state,
      what,
      sinceMs,
      tries: typeof tries === "number" ? tries : 0,
      lastError: typeof lastError === "string" ? lastError : "",
      missing: typeof missing === "number" ? missing : 0,
    };
  } catch {
    return undefined; // see above
  }
}
