// What the API shows: the registry's mirror, held only while somebody looks, with this machine's own knowledge in its
// place while the registry is away.
import type { Machine } from "../domain/machine.ts";
import type { CommitId, MachineId } from "../domain/names.ts";
import type { ClusterState } from "../domain/placement.ts";
import { Problem, asProblem, explainError, toRecord } from "../domain/problem.ts";
import { createWantedReader } from "../desired/desired.ts";
import type { DesiredState, WantedState } from "../domain/unit.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";
import type { ClusterPicture } from "../domain/cluster.ts";
import type { SyncResult } from "../domain/sync.ts";
import type { Git } from "../ports/git.ts";
import type { Log } from "../ports/log.ts";
import type { Registry } from "../ports/registry.ts";
import { schedule } from "../schedule/schedule.ts";
import { encodeSyncRequest, keys, parseSyncResult } from "../text/values.ts";
import { type Commits, refusedHere } from "./commits.ts";
import { clusterState, standings, wantedSources } from "./cluster-state.ts";
import type { Local } from "./local.ts";
import type { Mirror } from "./mirror.ts";
import { childOf, patiently } from "./pauses.ts";
import { PictureReader, type RegistryPicture } from "./picture.ts";
import type { Statuses } from "./statuses.ts";
import type { Sync } from "./sync.ts";
import type { Troubles } from "./troubles.ts";

/** After the last question the mirror is kept this long, so that a watching client does not read everything anew. */
const idleMs = 60_000;
/** A question waits at most this long for the registry, or for a fetch, before it is answered from what is known here. */
const patienceMs = 2_000;
/** After a fetch that has not brought the adopted commit no other is begun for it until then. */
const fetchPauseMs = 30_000;
/** Listeners are told at most this often. */
const quietMs = 100;
/** A fetch that the leader was asked for is waited for at most this long. */
const syncTimeoutMs = 180_000;

export interface ViewParts {
  /** This machine as it announces itself. */
  readonly machine: Machine;
  readonly version: string;
  readonly mirror: Mirror;
  readonly registry: Registry;
  readonly git: Git | undefined;
  readonly commits: Commits | undefined;
  readonly allowSubmit: boolean;
  readonly local: Local;
  readonly statuses: Statuses;
  readonly troubles: Troubles;
  readonly clock: Clock;
  readonly log: Log;
  /** This machine's own syncing while it leads. */
  readonly leading: () => Sync | undefined;
}

/** What follows from the registry and the repository alone. */
type Composed = Omit<ClusterPicture, "problems">;

const registryCodes: ReadonlySet<string> = new Set(["registry-unreachable", "registry-refused"]);

export class View implements ClusterView {
  readonly me: Machine["id"];
  readonly version: string;
  readonly #parts: ViewParts;
  readonly #reader = new PictureReader();
  readonly #wanted = createWantedReader();
  readonly #listeners = new Set<() => void>();
  readonly #signal: AbortSignal;
  #release: (() => void) | undefined;
  /** Until the mirror changes. */
  #last: { readonly of: RegistryPicture; readonly composed: Composed } | undefined;
  /** The composing that began last; none when something has changed since. */
  #reading: object | undefined;
  /** While a fetch is under way: resolves once that is over, or has taken a moment. */
  #fetching: Promise<void> | undefined;
  /** The commit that the last fetch did not bring. */
  #missed: { readonly commit: CommitId; readonly atMs: number } | undefined;
  #askedMs = 0;
  #telling = false;

  /** `signal` ends it: the mirror is let go and listeners hear nothing more. */
  constructor(parts: ViewParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
    this.me = parts.machine.id;
    this.version = parts.version;
    const tell = () => this.#tell();
    const changed = () => {
      this.#last = undefined;
      this.#reading = undefined;
      tell();
    };
    const stops = [parts.mirror.onChange(changed), parts.troubles.onChange(tell), parts.local.onChange(tell)];
    signal.addEventListener("abort", () => {
      for (const stop of stops) stop();
      this.#listeners.clear();
      this.#letGo();
    });
  }

  async picture(signal?: AbortSignal): Promise<ClusterPicture> {
    const { mirror, troubles } = this.#parts;
    this.#hold();
    const away = await this.#waitForMirror(signal);
    // While nothing changes the same picture is given again: a listing in a hundred pages is composed once
    const last = mirror.connected ? this.#last : undefined;
    const entries = mirror.connected || away === undefined ? mirror.entries() : new Map<string, never>();
    const picture = last?.of ?? this.#reader.read(entries);
    // While the registry is away every loop that needs it is in the same trouble: it is told once.
    const own = troubles.list().filter(({ code }) => mirror.connected || !registryCodes.has(code));
    const problems = [...picture.problems.map(toRecord), ...own, ...waitsForCommit(picture)];
    if (!mirror.connected) {
      const problem = away ?? new Problem("registry-unreachable", "Cannot reach the registry");
      problems.unshift({ ...toRecord(problem), message: `${explainError(problem)}; this is what this machine knows` });
    }
    if (last !== undefined) return { ...last.composed, problems };
    const version = {};
    this.#reading = version;
    // Also where the registry has come back this very moment, what is given is what was known without it
    const isStale = away !== undefined || !mirror.connected;
    const composed = await this.#compose(away === undefined ? picture : this.#alone(picture), isStale);
    const isWhole = composed.stale !== true && composed.desired !== undefined;
    if (isWhole && this.#reading === version) this.#last = { of: picture, composed };
    return { ...composed, problems };
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    this.#hold();
    return () => this.#listeners.delete(listener);
  }

  async sync(signal?: AbortSignal): Promise<SyncResult> {
    const own = this.#parts.leading();
    if (own !== undefined) return own.request();
    return this.#askLeader(signal);
  }

  /** Resolves once the picture shows everything up to `revision`, or after a moment in which the registry is away. */
  async reached(revision: number): Promise<void> {
    const { mirror, clock } = this.#parts;
    this.#hold();
    const patience = { clock, ms: patienceMs, signal: this.#signal };
    // Rejects only when cut short: then whoever asked looks for themselves
    await patiently(patience, (each) => mirror.reached(revision, each)).catch(() => undefined);
  }

  async #compose(picture: RegistryPicture, isStale: boolean): Promise<Composed> {
    const desired = await this.#wantedFrom(picture);
    const standing = standings(picture, { settling: true, witnessed: new Set() });
    const placing = desired === undefined ? undefined : clusterState(picture, { desired, standing });
    const { mirror } = this.#parts;
    return {
      registryRevision: mirror.revision,
      ...(isStale || !mirror.connected ? { stale: true as const } : {}),
      machines: picture.machines,
      settings: picture.settings,
      leader: picture.leader,
      revision: picture.revision,
      manifests: picture.manifests,
      statuses: picture.statuses,
      desired,
      holds: picture.holds,
      events: picture.events,
      placing,
      decisions: placing === undefined ? [] : schedule(withDrains(placing, picture)),
    };
  }

  /** Undefined while there is, or may be, an adopted commit that cannot be had: unknown is not none. */
  async #wantedFrom(picture: RegistryPicture): Promise<WantedState | undefined> {
    const { adopted } = picture.revision;
    if (!picture.isRevisionKnown) return undefined;
    const desired = adopted === undefined ? undefined : await this.#desired(adopted.commit);
    if (adopted !== undefined && desired === undefined) return undefined;
    return this.#wanted.read(wantedSources(picture, { desired, allowSubmit: this.#parts.allowSubmit }));
  }

  /** The adopted commit's units if they can be had: a machine with no share in a commit need not have it yet. */
  async #desired(commit: CommitId): Promise<DesiredState | undefined> {
    const { commits, git, troubles } = this.#parts;
    if (commits === undefined || git === undefined) return undefined;
    try {
      if (!(await commits.has(commit))) {
        await this.#fetch(commit, git);
        if (!(await commits.has(commit))) return undefined;
      }
      const desired = await commits.desired(commit);
      if (!desired.ok) throw refusedHere(commit, desired.problems);
      troubles.clear("view");
      return desired.value;
    } catch (error) {
      troubles.set("view", toRecord(asProblem(error, "git-commit", `Cannot read commit ${commit}`)));
      return undefined;
    }
  }

  /** One fetch for all who ask, which goes on behind them: a host that is silent must not hold their answers up. */
  #fetch(commit: CommitId, git: Git): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    const { clock, troubles } = this.#parts;
    const missed = this.#missed;
    if (missed?.commit === commit && clock.monotonicMs() - missed.atMs < fetchPauseMs) return Promise.resolve();
    const whole = git
      .fetch(this.#signal)
      .then(
        () => this.#tell(),
        (error: unknown) => {
          if (this.#signal.aborted) return;
          troubles.set("view", toRecord(asProblem(error, "git-commit", `Cannot read commit ${commit}`)));
        },
      )
      .finally(() => {
        this.#fetching = undefined;
        // Of no matter if it was brought
        this.#missed = { commit, atMs: clock.monotonicMs() };
      });
    const patience = { clock, ms: patienceMs, signal: this.#signal };
    this.#fetching = patiently(patience, (each) => Promise.race([whole, aborted(each)]));
    return this.#fetching;
  }

  /** What this machine knows without the registry: itself, its share, and how that is. */
  #alone(picture: RegistryPicture): RegistryPicture {
    const { machine, local, statuses } = this.#parts;
    const holding = local.holding();
    const status = statuses.last();
    return {
      ...picture,
      isRevisionKnown: picture.revision.adopted !== undefined,
      machines: new Map([[machine.id, machine]]),
      manifests: holding?.manifest === undefined ? new Map() : new Map([[machine.id, holding.manifest]]),
      statuses: status === undefined ? new Map() : new Map([[machine.id, status]]),
    };
  }

  /** Undefined when the mirror is whole; else why it is not, after a short wait. */
  async #waitForMirror(signal: AbortSignal | undefined): Promise<Problem | undefined> {
    const { mirror, clock } = this.#parts;
    try {
      await patiently({ clock, ms: patienceMs, signal: signal ?? this.#signal }, (each) => mirror.ready(each));
      return undefined;
    } catch (error) {
      if (signal?.aborted === true) throw error;
      return new Problem("registry-unreachable", "Cannot reach the registry", {
        hint: mirror.lastProblem?.hint,
        cause: mirror.lastProblem,
      });
    }
  }

  /** Keeps the mirror while somebody asks or listens, and a while longer. */
  #hold(): void {
    this.#askedMs = this.#parts.clock.monotonicMs();
    if (this.#release !== undefined || this.#signal.aborted) return;
    this.#release = this.#parts.mirror.acquire();
    this.#watchIdle().catch((error: unknown) => {
      if (!this.#signal.aborted)
        this.#parts.troubles.set("view", toRecord(asProblem(error, "view", "Cannot watch for idleness")));
    });
  }

  async #watchIdle(): Promise<void> {
    const { clock } = this.#parts;
    for (;;) {
      const quiet = clock.monotonicMs() - this.#askedMs;
      if (quiet >= idleMs && this.#listeners.size === 0) break;
      await clock.sleep(Math.max(idleMs - quiet, idleMs / 4), this.#signal);
    }
    this.#letGo();
  }

  #letGo(): void {
    this.#release?.();
    this.#release = undefined;
  }

  #tell(): void {
    if (this.#telling || this.#listeners.size === 0 || this.#signal.aborted) return;
    this.#telling = true;
    this.#parts.clock
      .sleep(quietMs, this.#signal)
      .then(() => {
        this.#telling = false;
        for (const listener of this.#listeners) listener();
      })
      .catch(() => {
        // Only the end of the agent cuts the pause short; nobody listens then.
        this.#telling = false;
      });
  }

  /** Only one request stands in the registry at a time: who comes second waits until the first has its answer. */
  async #askLeader(signal: AbortSignal | undefined): Promise<SyncResult> {
    const { mirror, clock } = this.#parts;
    this.#hold();
    const away = await this.#waitForMirror(signal);
    if (away !== undefined) throw away;
    if (mirror.get(keys.leader) === undefined) {
      throw new Problem("no-leader", "Cannot sync: no machine leads at the moment", {
        hint: "A new leader is elected within seconds; see flotilla status",
      });
    }
    const untilMs = clock.monotonicMs() + syncTimeoutMs;
    while (clock.monotonicMs() < untilMs) {
      const asked = await this.#askOnce(signal);
      if (asked.answer !== undefined) return asked.answer;
      if (asked.taken) break;
      // The mirror may not show the other's request yet.
      await clock.sleep(quietMs, signal ?? this.#signal);
      await this.#seek(() => (mirror.get(keys.syncRequest) === undefined ? true : undefined), signal);
    }
    throw signal?.aborted === true
      ? new Problem("aborted", "Cannot finish the sync: it was broken off")
      : new Problem("sync-timeout", "Cannot finish the sync: the leader has not answered", {
          hint: "See flotilla status",
        });
  }

  /** Leaves a request under a lease of its own and waits for the leader's answer, which goes with the same lease. */
  async #askOnce(signal: AbortSignal | undefined): Promise<{ taken: boolean; answer: SyncResult | undefined }> {
    const { registry, clock, machine, log } = this.#parts;
    const lease = await registry.grantLease(syncTimeoutMs, signal);
    try {
      const id = `${machine.id}.${machine.nonce}.${Math.floor(clock.random() * 1e9)}.${clock.wallMs()}`;
      const value = encodeSyncRequest({ id, by: machine.hostname });
      const { applied } = await registry.write(
        {
          guards: [{ kind: "created", key: keys.syncRequest, revision: 0 }],
          writes: [{ kind: "put", key: keys.syncRequest, value, lease: lease.id }],
        },
        signal,
      );
      return { taken: applied, answer: applied ? await this.#seek(() => this.#answerTo(id), signal) : undefined };
    } finally {
      // What cannot be given back runs out; the answer is worth more.
      await registry.revokeLease(lease.id).catch((error: unknown) => {
        log.debug("lease.left-to-expire", { lease: lease.id, error: String(error) });
      });
    }
  }

  #answerTo(id: string): SyncResult | undefined {
    const entry = this.#parts.mirror.get(keys.syncResult);
    const read = entry === undefined ? undefined : parseSyncResult(entry.key, entry.value);
    if (read?.ok !== true || read.value.id !== id) return undefined;
    const { outcome, commit, problems } = read.value;
    return { outcome, ...(commit === undefined ? {} : { commit }), problems };
  }

  /** What `look` finds in the mirror, now or after a change; undefined when that takes too long or is broken off. */
  async #seek<T>(look: () => T | undefined, signal: AbortSignal | undefined): Promise<T | undefined> {
    const { mirror, clock } = this.#parts;
    const { controller, dispose } = childOf(signal ?? this.#signal);
    const over = () => controller.abort();
    let found = look();
    const unlisten = mirror.onChange(() => {
      found ??= look();
      if (found !== undefined) over();
    });
    // Cut short by what is found, or by whoever asked.
    if (found === undefined) await clock.sleep(syncTimeoutMs, controller.signal).catch(over);
    unlisten();
    dispose();
    return found;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** As if all could leave at once that is to: why a unit cannot is shown also once its drain has been stopped for that. */
function withDrains(placing: ClusterState, { settings }: RegistryPicture): ClusterState {
  const isLeft = (id: MachineId): boolean => {
    const { cordoned, drain } = settings.get(id) ?? {};
    return cordoned === true && drain !== undefined && drain.state !== "done";
  };
  const machines = placing.machines.map((each) => (isLeft(each.id) ? { ...each, drain: placing.wanted.length } : each));
  return { ...placing, machines };
}

/** Who leads and has a repository decides nothing before its first good commit: what was submitted waits for it, too. */
function waitsForCommit({ revision, submitted, machines }: RegistryPicture): ClusterPicture["problems"] {
  const isGits = [...machines.values()].some(({ hasRepository, mayLead }) => hasRepository === true && mayLead);
  if (revision.adopted !== undefined || submitted.size === 0 || !isGits) return [];
  const problem = new Problem(
    "commit-none",
    "Cannot run submitted units yet: no commit of the repository was ever adopted",
    {
      hint: "They run with the first good commit, were it an empty one",
    },
  );
  return [toRecord(problem)];
}
