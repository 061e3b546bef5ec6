// The leader's way from git to desired state: fetches when a cron expression, a webhook or a person says so, checks the
// newest commit whole, and adopts or refuses it. The last good commit stays in force whatever comes.
import type { CommitId } from "../domain/names.ts";
import type { Revision } from "../domain/placement.ts";
import { Problem, asProblem, toRecord } from "../domain/problem.ts";
import type { DesiredState } from "../domain/unit.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterEvent } from "../domain/submitted.ts";
import type { SyncResult } from "../domain/sync.ts";
import type { Cron } from "../ports/cron.ts";
import type { Git } from "../ports/git.ts";
import type { Log } from "../ports/log.ts";
import type { Entry, Registry, Write } from "../ports/registry.ts";
import {
  encodeEvent,
  encodeRevision,
  encodeSyncResult,
  keptProblems,
  keys,
  parseRevision,
  parseSyncRequest,
} from "../text/values.ts";
import type { Commits } from "./commits.ts";
import type { Mirror } from "./mirror.ts";
import { stopped } from "./pauses.ts";
import type { Tenure } from "./tenure.ts";
import { Waker, tick } from "./ticker.ts";
import type { Troubles } from "./troubles.ts";

/** A poll is looked for at least this often, so that a step of the wall clock cannot put it off for long. */
const longestWaitMs = 60_000;
/** A subject or a problem may be of any length. */
const maxMessageChars = 500;
/** Pauses after a fetch that failed. */
const firstRetryMs = 1_000;
const longestRetryMs = 300_000;

export interface SyncPorts {
  readonly git: Git;
  readonly commits: Commits;
  readonly registry: Registry;
  readonly mirror: Mirror;
  readonly cron: Cron;
  readonly schedule: string;
  readonly jitterMs: number;
  /** Name of the branch, for the record. */
  readonly ref: string;
  /** Hostname of this machine, for the events. */
  readonly by: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly troubles: Troubles;
}

/** One leader's syncing, for the length of one tenure. */
export class Sync {
  readonly #ports: SyncPorts;
  readonly #tenure: Tenure;
  readonly #onDesired: (desired: DesiredState, isNewest: boolean) => void;
  readonly #waker = new Waker();
  readonly #asked: ((result: SyncResult) => void)[] = [];
  #isOver = false;
  #answered: string | undefined;
  #revision: { readonly value: Revision; readonly modified: number } | undefined;
  #desired: DesiredState | undefined;
  /** When the next poll is due, by the wall clock and by the monotonic one: whichever comes first, for the wall clock may be set. */
  #due = { wallMs: 0, monotonicMs: 0 };
  #failures = 0;
  #restored = false;
  #isNewest = false;
  /** The last one that this leader has judged itself: settings or versions may be others than an earlier leader's. */
  #refused: CommitId | undefined;
  #readMs = -Infinity;

  /** `onDesired` is told whether the repository was asked in this tenure, and has no newer commit. */
  constructor(ports: SyncPorts, tenure: Tenure, onDesired: (desired: DesiredState, isNewest: boolean) => void) {
    this.#ports = ports;
    this.#tenure = tenure;
    this.#onDesired = onDesired;
  }

  /** Fetches as soon as the pass under way is over; resolves with what came of it, also when the tenure ends before. */
  async request(): Promise<SyncResult> {
    if (this.#isOver) return deposed();
    return new Promise((resolve) => {
      this.#asked.push(resolve);
      this.#waker.wake();
    });
  }

  /** Until the tenure ends. */
  async run(): Promise<void> {
    const { mirror, clock, log, troubles } = this.#ports;
    const stop = mirror.onChange((changed) => {
      if (changed.has(keys.syncRequest)) this.#waker.wake();
    });
    try {
      await tick(
        { name: "sync", waker: this.#waker, clock, log, troubles, pass: (signal) => this.#pass(signal) },
        this.#tenure.signal,
      );
    } finally {
      stop();
      this.#isOver = true;
      for (const answer of this.#asked.splice(0)) answer(deposed());
    }
  }

  async #pass(signal: AbortSignal): Promise<number> {
    const { mirror, clock } = this.#ports;
    // What earlier leaders have recorded is seen first.
    await mirror.reached(this.#tenure.epoch, signal);
    await mirror.ready(signal);
    // In a store that was put back the record may be an older one
    if (this.#readMs < mirror.wentBackMs) this.#revision = undefined;
    this.#readMs = clock.monotonicMs();
    const recorded = mirror.get(keys.revision);
    // A write of ours whose answer was lost may have been applied since
    const isNewer = (recorded?.modRevision ?? 0) > (this.#revision?.modified ?? 0);
    if (this.#revision === undefined || isNewer) this.#revision = this.#readRevision(recorded);
    const asked = { here: this.#asked.length, elsewhere: this.#pendingRequest() };
    if (this.#desired === undefined) {
      try {
        await this.#restore(signal);
      } catch (error) {
        if (!stopped(signal)) await this.#answer(asked, failed(error));
        throw error;
      }
    }
    if (asked.here > 0 || asked.elsewhere !== undefined || this.#dueInMs() <= 0) {
      const result = await this.#fetch(signal);
      this.#plan(result.failure);
      await this.#answer(asked, result.said);
    }
    return Math.min(longestWaitMs, Math.max(0, this.#dueInMs()));
  }

  #dueInMs(): number {
    const { clock } = this.#ports;
    return Math.min(this.#due.wallMs - clock.wallMs(), this.#due.monotonicMs - clock.monotonicMs());
  }

  #dueAfter(ms: number): void {
    const { clock } = this.#ports;
    this.#due = { wallMs: clock.wallMs() + ms, monotonicMs: clock.monotonicMs() + ms };
  }

  /** When the next poll is due; after a failure sooner than the schedule says, with growing pauses. */
  #plan(failure: Problem | undefined): void {
    const { cron, schedule, jitterMs, clock, troubles, log } = this.#ports;
    const now = clock.wallMs();
    const scheduledMs = cron.next(schedule, now) - now + Math.floor(clock.random() * jitterMs);
    this.#dueAfter(scheduledMs);
    if (failure === undefined) {
      if (this.#failures > 0) log.info("sync.recovered", { failures: this.#failures });
      this.#failures = 0;
      troubles.clear("git");
      return;
    }
    const retryMs = Math.min(firstRetryMs * 2 ** this.#failures, longestRetryMs);
    this.#dueAfter(Math.min(scheduledMs, retryMs));
    // One line for an outage, not one for each try.
    if (this.#failures === 0) log.error("sync.failed", failure);
    this.#failures += 1;
    troubles.set("git", toRecord(failure));
  }

  #readRevision(entry: Entry | undefined): { value: Revision; modified: number } {
    if (entry === undefined) return { value: {}, modified: 0 };
    const read = parseRevision(entry.key, entry.value);
    if (read.ok) return { value: read.value, modified: entry.modRevision };
    throw read.problems[0] ?? new Problem("registry-value", "Cannot read the adopted commit");
  }

  /** A new leader goes on with the commit that the cluster has adopted; only then does it look for newer ones. */
  async #restore(signal: AbortSignal): Promise<void> {
    const adopted = this.#revision?.value.adopted;
    if (adopted === undefined || this.#restored) return;
    const { git, commits, troubles, log } = this.#ports;
    if (!(await commits.has(adopted.commit))) await git.fetch(signal);
    const desired = await this.#readAdopted(adopted.commit);
    // Only now: what could not be read for a moment is read again
    this.#restored = true;
    if (desired instanceof Problem) {
      // Nothing is decided until the branch holds a commit that can be read; what runs goes on running.
      log.error("commit.lost", desired, { commit: adopted.commit });
      troubles.set("commit", toRecord(desired));
    } else this.#take(desired, false);
  }

  async #readAdopted(commit: CommitId): Promise<DesiredState | Problem> {
    const { commits } = this.#ports;
    const message = `Cannot read adopted commit ${commit}`;
    if (!(await commits.has(commit))) {
      return new Problem("commit-lost", message, {
        hint: "It is no longer in the branch's history; the next good commit takes its place",
      });
    }
    const desired = await commits.desired(commit);
    return desired.ok ? desired.value : new Problem("commit-adopted", message, { cause: desired.problems[0] });
  }

  #take(desired: DesiredState, isNewest: boolean): void {
    this.#desired = desired;
    this.#isNewest = isNewest;
    this.#ports.troubles.clear("commit");
    this.#onDesired(desired, isNewest);
  }

  async #fetch(signal: AbortSignal): Promise<{ said: SyncResult; failure: Problem | undefined }> {
    const { git } = this.#ports;
    try {
      const head = await git.fetch(signal);
      const { adopted, refused } = this.#revision?.value ?? {};
      if (head === adopted?.commit) {
        if (refused !== undefined) await this.#record({ adopted });
        // It may have been lost and come with the fetch, or been recorded without an answer
        const held = this.#desired?.commit === head ? this.#desired : undefined;
        const desired = held ?? (await this.#readAdopted(head));
        const isTaken = held !== undefined && this.#isNewest;
        if (desired instanceof Problem) this.#ports.troubles.set("commit", toRecord(desired));
        else if (!isTaken) this.#take(desired, true);
        return { said: { outcome: "unchanged", commit: head, problems: [] }, failure: undefined };
      }
      if (head === refused?.commit && head === this.#refused) {
        return { said: { outcome: "refused", commit: head, problems: refused.problems }, failure: undefined };
      }
      return { said: await this.#judge(head), failure: undefined };
    } catch (error) {
      if (signal.aborted) throw error;
      const failure = asProblem(error, "sync-failed", "Cannot bring the newest commit");
      return { said: failed(failure), failure };
    }
  }

  async #judge(head: CommitId): Promise<SyncResult> {
    const { commits, git, clock, log, ref } = this.#ports;
    const desired = await commits.desired(head);
    const before = this.#revision?.value ?? {};
    const atMs = clock.wallMs();
    if (!desired.ok) {
      const problems = desired.problems.map(toRecord);
      const kept = keptProblems(problems);
      this.#refused = head;
      const isTold =
        before.refused?.commit === head &&
        encodeRevision({ refused: { ...before.refused, problems: kept } }) ===
          encodeRevision({ refused: before.refused });
      if (isTold) return { outcome: "refused", commit: head, problems };
      const message = `Commit ${head.slice(0, 7)} of ${ref} was refused: ${problems[0]?.message ?? "it has problems"}`;
      await this.#record(
        { ...before, refused: { commit: head, ref, atMs, problems: kept } },
        { kind: "commit-refused", message },
      );
      log.warn("commit.refused", { commit: head, problems: problems.length, first: problems[0]?.message });
      return { outcome: "refused", commit: head, problems };
    }
    const { subject, author } = await git.info(head);
    const message = `Commit ${head.slice(0, 7)} of ${ref} was adopted: ${subject}`;
    await this.#record(
      { adopted: { commit: head, ref, epoch: this.#tenure.epoch, atMs, subject, author } },
      { kind: "commit-adopted", message },
    );
    log.info("commit.adopted", { commit: head, units: desired.value.units.size, subject });
    this.#take(desired.value, true);
    return { outcome: "adopted", commit: head, problems: [] };
  }

  /** Fenced twice: by the epoch, and by the value that this leader has read. */
  async #record(value: Revision, said?: Pick<ClusterEvent, "kind" | "message">): Promise<void> {
    const { registry, clock, by } = this.#ports;
    const atMs = clock.wallMs();
    const commit = said?.kind === "commit-refused" ? value.refused?.commit : value.adopted?.commit;
    const event: Write[] =
      said === undefined
        ? []
        : [
            {
              kind: "put",
              key: keys.event(atMs, `${this.#tenure.epoch}-c`),
              value: encodeEvent({
                kind: said.kind,
                message: said.message.slice(0, maxMessageChars),
                atMs,
                by,
                ...(commit === undefined ? {} : { commit }),
              }),
            },
          ];
    const written = await registry.write(
      {
        guards: [
          { kind: "created", key: keys.leader, revision: this.#tenure.epoch },
          { kind: "modified", key: keys.revision, revision: this.#revision?.modified ?? 0 },
        ],
        writes: [{ kind: "put", key: keys.revision, value: encodeRevision(value) }, ...event],
      },
      this.#tenure.signal,
    );
    if (written.applied) {
      this.#revision = { value, modified: written.revision };
      return;
    }
    // Someone else wrote it, or an earlier write of ours was applied without an answer: read it anew in the next pass.
    const { entry } = await registry.get(keys.revision, this.#tenure.signal);
    this.#revision = this.#readRevision(entry);
    throw new Problem("revision-changed", "Cannot record the commit: the record has changed meanwhile");
  }

  #pendingRequest(): Entry | undefined {
    const entry = this.#ports.mirror.get(keys.syncRequest);
    if (entry === undefined) return undefined;
    const request = parseSyncRequest(entry.key, entry.value);
    return request.ok && request.value.id !== this.#answered ? entry : undefined;
  }

  async #answer(
    asked: { readonly here: number; readonly elsewhere: Entry | undefined },
    result: SyncResult,
  ): Promise<void> {
    for (const answer of this.#asked.splice(0, asked.here)) answer(result);
    if (asked.elsewhere !== undefined) await this.#answerElsewhere(asked.elsewhere, result);
  }

  /** The answer lives as long as the request: both hang on the asker's lease. */
  async #answerElsewhere(entry: Entry, result: SyncResult): Promise<void> {
    const request = parseSyncRequest(entry.key, entry.value);
    if (!request.ok) return;
    const { id } = request.value;
    await this.#ports.registry.write(
      {
        guards: [
          { kind: "created", key: keys.leader, revision: this.#tenure.epoch },
          { kind: "modified", key: keys.syncRequest, revision: entry.modRevision },
        ],
        writes: [
          {
            kind: "put",
            key: keys.syncResult,
            value: encodeSyncResult({ id, ...result, problems: keptProblems(result.problems) }),
            ...(entry.lease === undefined ? {} : { lease: entry.lease }),
          },
        ],
      },
      this.#tenure.signal,
    );
    this.#answered = id;
  }
}

function failed(error: unknown): SyncResult {
  return { outcome: "failed", problems: [toRecord(asProblem(error, "sync-failed", "Cannot bring the newest commit"))] };
}

function deposed(): SyncResult {
  return failed(new Problem("no-leader", "Cannot finish the sync: this machine no longer leads"));
}
