// The leader's loop: wanted units + machines + manifests + statuses -> decisions -> manifests, fenced on the tenure's epoch.
// Decides only on a whole and connected picture; whatever it could not read changes nothing.
import { type WantedReader, createWantedReader } from "../desired/desired.ts";
import type { MachineId, UnitName } from "../domain/names.ts";
import { type Decision, fenceWaitMs, undecidable } from "../domain/placement.ts";
import { Problem, toRecord } from "../domain/problem.ts";
import type { ClusterEvent } from "../domain/submitted.ts";
import { type DesiredState, type WantedState, defaultStopMs } from "../domain/unit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Guard, Registry } from "../ports/registry.ts";
import { nextManifests } from "../schedule/manifests.ts";
import { type Outcome, Scheduler } from "../schedule/schedule.ts";
import { encodeEvent, keys, machineOfKey } from "../text/values.ts";
import { wantedSources } from "./cluster-state.ts";
import { Feed, type Novelty } from "./feed.ts";
import { type FenceWait, FenceWaits } from "./fence-waits.ts";
import { type Oversize, asWritten, fitting, oversizeProblem, writeManifests } from "./manifest-writes.ts";
import type { Mirror } from "./mirror.ts";
import { Moves } from "./moves.ts";
import { type Told, tellings } from "./tellings.ts";
import { type TidyBatch, tidyUp } from "./housekeeping.ts";
import { type Brake, Losses } from "./losses.ts";
import { PictureReader, type RegistryPicture } from "./picture.ts";
import type { Tenure } from "./tenure.ts";
import { Waker, tick } from "./ticker.ts";
import { Trust, type TrustPorts } from "./trust.ts";
import { WaitsJournal } from "./waits-journal.ts";
import type { Troubles } from "./troubles.ts";

/** A machine that is to rest, and of which an operator said something meanwhile, is looked at again so soon. */
const restRetryMs = 1_000;
/** A moment of the wall clock is looked at again after so long: the clock may be set meanwhile. */
const longestWallWaitMs = 60_000;
/** As troubles have it. */
const restored = "restored";
const oversized = "manifest-size";

export interface EnginePorts extends TrustPorts {
  readonly registry: Registry;
  readonly mirror: Mirror;
  /** Whether this machine takes units that people submit; where none does they are as if nobody had. */
  readonly allowSubmit: boolean;
  /** Units moved for balance in a minute; 0: none. */
  readonly rebalancePerMinute: number;
  /** While more than so many of a hundred machines are lost, none of their units is moved; 100: they always are. */
  readonly lossBrakePercent: number;
  /** Of this machine, for the events. */
  readonly hostname: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
}

/** Units of which nothing is decided. */
interface Unsure {
  readonly of: WantedState;
  readonly fenced: ReadonlySet<UnitName>;
  /** Those that may still be running somewhere else (`FenceWait.units`), and all that follow one. */
  readonly waiting: ReadonlySet<UnitName>;
  /** Those, and what cannot be read, and all that follow any of them. */
  readonly undecided: ReadonlySet<UnitName>;
}

/** One leader's engine, for the length of one tenure. */
export class Engine {
  readonly #ports: EnginePorts;
  readonly #tenure: Tenure;
  readonly #waker = new Waker();
  readonly #reader = new PictureReader();
  readonly #trust: Trust;
  readonly #wanted: WantedReader = createWantedReader();
  #desired: DesiredState | "none" | undefined;
  #isNewest = false;
  readonly #scheduler = new Scheduler();
  readonly #feed = new Feed(this.#scheduler);
  readonly #moves: Moves;
  #generation = 0;
  /** Whether the last pass came to its end: then only what is new since is looked at. */
  #isWhole = false;
  #changed: Set<string> | undefined;
  readonly #losses: Losses;
  #isBraked = false;
  /** Machines whose manifest was too large in the last pass. */
  #oversize = "";
  readonly #fenceWaits = new FenceWaits();
  readonly #waits: WaitsJournal;
  #unsure: Unsure | undefined;

  constructor(ports: EnginePorts, tenure: Tenure) {
    this.#ports = ports;
    this.#tenure = tenure;
    this.#trust = new Trust(ports, tenure.epoch);
    this.#waits = new WaitsJournal(ports.log);
    const { registry, mirror, clock, machineLeaseMs, lossBrakePercent: brakePercent } = ports;
    this.#losses = new Losses({ registry, mirror, clock, machineLeaseMs, brakePercent });
    this.#moves = new Moves(this.#scheduler, { perMinute: ports.rebalancePerMinute, nowMs: ports.clock.wallMs() });
  }

  /**
   * The adopted commit's units, from now on; "none": it is known that no commit was ever adopted. `isNewest`: the repository
   * was asked in this tenure, and has no newer one.
   */
  want(desired: DesiredState | "none", isNewest: boolean): void {
    this.#desired = desired;
    this.#isNewest = isNewest;
    this.#waker.wake();
  }

  /** Until the tenure ends. */
  async run(): Promise<void> {
    const { mirror, clock, log, troubles } = this.#ports;
    const stop = mirror.onChange((changed) => {
      for (const key of changed) {
        this.#changed?.add(key);
        const machine = machineOfKey(key);
        const isManifest = key.startsWith(keys.manifests);
        if (machine !== undefined && !isManifest) this.#fenceWaits.changed(machine, clock.monotonicMs());
        // Otherwise it may have been put back to before it was written
        if (machine !== undefined && isManifest && mirror.connected && mirror.get(key) === undefined) {
          this.#trust.manifestDeleted(machine);
        }
        if (key.startsWith(keys.machines) && mirror.get(key) === undefined) this.#losses.note();
      }
      this.#waker.wake();
    });
    try {
      await tick(
        { name: "engine", waker: this.#waker, clock, log, troubles, pass: (signal) => this.#pass(signal) },
        this.#tenure.signal,
      );
    } finally {
      stop();
    }
  }

  async #pass(signal: AbortSignal): Promise<number | undefined> {
    const { registry, mirror, log, clock } = this.#ports;
    await mirror.ready(signal);
    const commit = this.#desired;
    // On a picture that may be old nothing is decided; the mirror wakes this loop when it is connected again.
    if (commit === undefined || !mirror.connected) return undefined;
    const gatherMs = this.#losses.gatherMs();
    if (gatherMs > 0) return gatherMs;
    const picture = await this.#layToRest(this.#reader.read(mirror.entries(), this.#changes()), signal);
    if (picture === undefined) return restRetryMs;
    const desired = this.#read(commit, picture);
    needManifests(picture);
    const returnMs = this.#trust.returnMs(picture, { isCommitSure: this.#isCommitSure() });
    if (returnMs > 0) return returnMs;
    const nowMs = clock.wallMs();
    const attendance = this.#trust.attendance(picture);
    const losses = await this.#losses.judge(picture, attendance.standing, signal);
    const { standing } = losses;
    const settling = attendance.isSettling || losses.isHeld;
    const { drains, rebalance, dueMs: moveMs } = this.#moves.budgets(picture, { desired, nowMs, settling });
    // Whatever the scheduler was told in a pass that did not come to its end, its machines are looked at again
    const isWhole = this.#isWhole;
    this.#isWhole = false;
    const novelty = this.#feed.tell({ picture, desired, standing, drains, parting: this.#moves.parting(picture) });
    const { connectedSinceMs } = mirror;
    const moments = { nowMs: clock.monotonicMs(), connectedSinceMs, ...this.#trust.unheardUntil() };
    const fences = this.#fenceWaits.look(picture, desired.units, moments);
    this.#waits.fenced(fences);
    const { waiting, undecided } = this.#undecidable(desired, fences.units);
    const unwritten = new Set([...picture.ahead, ...this.#fenceWaits.unspoken(picture, waiting)]);
    const decided = without(this.#scheduler.pass(rebalance, undecided), undecided);
    const decide = (units: readonly UnitName[]): readonly Decision[] => this.#scheduler.decisionsOf(units);
    this.#waits.waiting(decided.newlyWaiting, decide);
    const next = nextManifests({
      board: this.#scheduler,
      touched: isWhole
        ? new Set([...this.#touched(novelty, { outcome: decided, fences }), ...unwritten])
        : [...picture.manifests.keys(), ...standing.keys()],
      desired,
      undecidable: undecided,
      restarts: picture.restarts,
      manifests: picture.manifests,
      statuses: picture.statuses,
      unwritten,
      wordOf: (machine) => this.#fenceWaits.wordOf(machine, picture, waiting),
      standing,
      epoch: this.#trust.epochFor(picture, this.#generation),
      generation: this.#generation + 1,
    });
    for (const { unit, from, to } of next.handovers) log.debug("unit.handover", { unit, from, to });
    const isGone = (machine: MachineId): boolean => !standing.has(machine);
    const isGlobal = (unit: UnitName): boolean => desired.units.get(unit)?.options.global === true;
    const fit = fitting(next, { told: picture.manifests, unwritten, isGone, isGlobal });
    if (fit.fitting.length > 0) {
      this.#generation += 1;
      const decidedOn = { modified: picture.modified, isGone };
      const revision = await writeManifests(fit.fitting, decidedOn, { registry, tenure: this.#tenure });
      await mirror.reached(revision, signal);
    }
    this.#tellOversize(fit.oversize);
    // What could not be told is still to be told in the next pass
    this.#isWhole = fit.oversize.length === 0;
    const outcome = asWritten(decided, fit);
    this.#moves.note(picture, { outcome, nowMs });
    const ended = this.#moves.ended(picture, { desired, outcome, nowMs, settling, waiting, decide });
    await this.#tellBrake(picture, { brake: losses.brake, isSettled: !settling }, signal);
    const nameOf = (machine: MachineId): string => this.#losses.nameOf(machine);
    const told = fit.fitting.map(({ manifest }) => manifest);
    await this.#tell({ picture, writes: told, outcome, ended, nameOf }, signal);
    const dueMs = await this.#tidyUp(picture, signal);
    const unmarkMs = await this.#unmark(picture, { ...moments, restored: fences.restored }, signal);
    const byWall = [dueMs, moveMs - nowMs].map((ms) => (ms === Infinity ? ms : Math.min(ms, longestWallWaitMs)));
    const waits = [attendance.dueMs, ...byWall, unmarkMs, fences.dueMs, losses.dueMs];
    const ahead = waits.filter((ms) => ms > 0 && ms < Infinity);
    return ahead.length === 0 ? undefined : Math.min(...ahead);
  }

  /** The keys that changed since the last pass; undefined: all may have. */
  #changes(): ReadonlySet<string> | undefined {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  #touched(
    novelty: Novelty,
    { outcome, fences }: { readonly outcome: Outcome; readonly fences: FenceWait },
  ): ReadonlySet<MachineId> {
    const touched = new Set<MachineId>([...novelty.machines, ...outcome.touched]);
    for (const unit of [...novelty.units, ...fences.over]) {
      for (const machine of this.#scheduler.placesOf(unit)) touched.add(machine);
    }
    for (const unit of fences.over) for (const machine of this.#scheduler.concerned(unit)) touched.add(machine);
    return touched;
  }

  /** Of one state it is looked for once: it needs all units. */
  #undecidable(desired: WantedState, fenced: ReadonlySet<UnitName>): Unsure {
    if (this.#unsure?.of !== desired || this.#unsure.fenced !== fenced) {
      const withThose = (units: ReadonlySet<UnitName>): ReadonlySet<UnitName> =>
        undecidable(desired.units.values(), units);
      const waiting = withThose(fenced);
      const undecided = desired.unknown.size === 0 ? waiting : withThose(new Set([...desired.unknown, ...fenced]));
      this.#unsure = { of: desired, fenced, waiting, undecided };
    }
    return this.#unsure;
  }

  /** One line in the log for the same machines, however often it is tried anew. */
  #tellOversize(oversize: readonly Oversize[]): void {
    const { log, troubles } = this.#ports;
    const machines = oversize.map(({ machine }) => machine).join();
    if (oversize.length === 0) troubles.clear(oversized);
    else {
      const problem = oversizeProblem(oversize, (machine) => this.#losses.nameOf(machine));
      troubles.set(oversized, toRecord(problem));
      if (machines !== this.#oversize) log.error("manifest.oversize", problem);
    }
    this.#oversize = machines;
  }

  /** Ends drains, and leaves word of what moved without being asked to, and of machines that are lost and back. */
  async #tell(given: Told, signal: AbortSignal): Promise<void> {
    const { clock, hostname } = this.#ports;
    const nonce = `${this.#tenure.epoch}-${this.#generation}`;
    const batches = tellings(given, { by: hostname, nowMs: clock.wallMs(), nonce });
    for (const batch of batches) await this.#leaveWord(batch, signal);
  }

  /**
   * Machines that come and go are to take nothing for a while, which is written before anything is decided. The picture with
   * it; undefined: somebody was quicker with what is said of one.
   */
  async #layToRest(picture: RegistryPicture, signal: AbortSignal): Promise<RegistryPicture | undefined> {
    const { mirror, clock, hostname } = this.#ports;
    const nonce = `${this.#tenure.epoch}-${this.#generation}-rests`;
    const batches = this.#losses.rests(picture, { by: hostname, nowMs: clock.wallMs(), nonce });
    if (batches.length === 0) return picture;
    for (const batch of batches) {
      if (!(await this.#leaveWord(batch, signal))) return undefined;
      this.#losses.rested(batch.machine, picture);
    }
    return this.#reader.read(mirror.entries(), this.#changes());
  }

  /** Once for each time that too many machines are lost; a later leader goes by what was told. */
  async #tellBrake(
    picture: RegistryPicture,
    given: { readonly brake: Brake | undefined; readonly isSettled: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, log, troubles, hostname } = this.#ports;
    const { event, trouble } = this.#losses.tell(picture, given);
    if (trouble === undefined) troubles.clear("loss-brake");
    else troubles.set("loss-brake", trouble);
    const { brake } = given;
    if (this.#isBraked !== (brake !== undefined) && (brake !== undefined || given.isSettled)) {
      this.#isBraked = brake !== undefined;
      const amounts = brake === undefined ? {} : { lost: brake.lost.length, machines: brake.machines };
      log.warn(this.#isBraked ? "brake.on" : "brake.off", amounts);
    }
    if (event === undefined) return;
    const whole: ClusterEvent = { ...event, by: hostname, atMs: clock.wallMs() };
    const key = keys.event(whole.atMs, `${this.#tenure.epoch}-${this.#generation}-brake`);
    await this.#leaveWord(
      { guards: [], writes: [{ kind: "put", key, value: encodeEvent(whole) }], said: [whole] },
      signal,
    );
  }

  /** False when it was not written: somebody was quicker with what it is about, and their change wakes this loop. */
  async #leaveWord({ guards, writes, said }: TidyBatch, signal: AbortSignal): Promise<boolean> {
    const { mirror, registry, log } = this.#ports;
    const fence: Guard = { kind: "created", key: keys.leader, revision: this.#tenure.epoch };
    const { applied, revision } = await registry.write({ guards: [fence, ...guards], writes }, this.#tenure.signal);
    if (!applied) return false;
    for (const { kind, unit, machine, message } of said) log.info(kind, { unit, machine, message });
    await mirror.reached(revision, signal);
    return true;
  }

  /**
   * Says that units wait because the registry was put back. Takes away the mark of that once none has to, nor would one that
   * came with the newest commit or by hand, and stops as quickly as most; in how many ms that is to be looked at again.
   */
  async #unmark(
    { modified }: Pick<RegistryPicture, "modified">,
    given: { readonly nowMs: number; readonly putBackMs: number; readonly restored: number },
    signal: AbortSignal,
  ): Promise<number> {
    const { troubles } = this.#ports;
    if (given.restored > 0) troubles.set(restored, toRecord(putBack(given.restored)));
    else troubles.clear(restored);
    const key = keys.restored;
    const revision = modified.get(key);
    if (revision === undefined || given.restored > 0 || !this.#isCommitSure()) return Infinity;
    const leftMs = given.putBackMs + fenceWaitMs(defaultStopMs) - given.nowMs;
    if (leftMs > 0) return leftMs;
    const guards: Guard[] = [{ kind: "modified", key, revision }];
    await this.#leaveWord({ guards, writes: [{ kind: "delete", key }], said: [] }, signal);
    return Infinity;
  }

  /** The repository was asked in this tenure and has no newer commit, or there is none. */
  #isCommitSure(): boolean {
    return this.#isNewest || this.#desired === "none";
  }

  /** What the cluster is to run; throws a Problem while that is not known. */
  #read(commit: DesiredState | "none", picture: RegistryPicture): WantedState {
    if (commit === "none" && !picture.isRevisionKnown) {
      throw new Problem("revision-unreadable", "Cannot decide while the adopted commit cannot be read", {
        hint: "Delete the registry's key that is named, if the cluster never had a repository",
      });
    }
    if (commit === "none" && picture.revision.adopted !== undefined) {
      throw new Problem("git-unset", `Cannot decide: the cluster runs commit ${picture.revision.adopted.commit}`, {
        hint: "This machine leads and has no repository: set [Git] URL= as on the others",
      });
    }
    const { allowSubmit } = this.#ports;
    const desired = commit === "none" ? undefined : commit;
    return this.#wanted.read(wantedSources(picture, { desired, allowSubmit }));
  }

  /** What people wrote and what has had its time; how long until there is more of it, in ms. */
  async #tidyUp(picture: RegistryPicture, signal: AbortSignal): Promise<number> {
    const { clock, hostname } = this.#ports;
    const git = this.#desired === "none" ? undefined : this.#desired;
    const isGits = (name: UnitName): boolean => git?.units.has(name) === true || git?.templates.has(name) === true;
    const tidying = { picture, isGits, commit: git?.commit, by: hostname };
    const { batches, dueMs } = tidyUp({ ...tidying, nowMs: clock.wallMs(), nonce: `${this.#tenure.epoch}` });
    for (const batch of batches) await this.#leaveWord(batch, signal);
    return dueMs;
  }
}

function putBack(units: number): Problem {
  return new Problem("registry-restored", `Cannot change ${units} units with OnPartition=stop yet: etcd was restored`, {
    hint: "They may be running on machines that nobody has heard of since, and stay as they are until they must be down there",
  });
}

/** Throws Problem "manifest-unreadable": what a machine was told is not known. */
function needManifests({ problems }: RegistryPicture): void {
  const unreadable = problems.find((problem) => problem.message.includes(keys.manifests));
  if (unreadable !== undefined) {
    throw new Problem("manifest-unreadable", "Cannot decide while a manifest cannot be read", {
      hint: "Delete the key that is named; its machine goes on as it is and gets a new one",
      cause: unreadable,
    });
  }
}

/** What a pass would do with units of which nothing may be decided is not done, and not told of. */
function without(outcome: Outcome, undecided: ReadonlySet<UnitName>): Outcome {
  if (undecided.size === 0) return outcome;
  const { newlyWaiting, displaced } = outcome;
  return {
    ...outcome,
    newlyWaiting: newlyWaiting.filter((unit) => !undecided.has(unit)),
    displaced: displaced.filter(({ unit }) => !undecided.has(unit)),
  };
}
