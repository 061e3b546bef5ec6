// The result file of a run, kept up as it goes on: whoever asks in between sees what it is at. For bootstrap.ts.
import type { BootResult, FindingRecord } from "../domain/boot-result.ts";
import { type Problem, type ProblemRecord, toRecord } from "../domain/problem.ts";
import type { Finding } from "../domain/user-data.ts";
import { redacted } from "../firstboot/show.ts";
import { encodeBootResult } from "../text/boot-result.ts";
import { type BootWorld, bootFiles } from "./boot-world.ts";

/** Findings that are kept; a document with more is not mended by a longer list. */
const maxFindings = 500;

export class BootNotes {
  readonly #world: BootWorld;
  #result: BootResult;
  #isUnwritten = false;
  #stage: { readonly name: string; readonly sinceMs: number } | undefined;

  constructor(world: BootWorld) {
    this.#world = world;
    this.#result = {
      version: world.version,
      bootId: world.bootId,
      pid: world.pid,
      state: "running",
      startedMs: world.clock.wallMs(),
      probes: [],
      findings: [],
      problems: [],
      steps: [],
      left: [],
      watch: [],
      stages: [],
    };
  }

  get result(): BootResult {
    return this.#result;
  }

  set(more: Partial<BootResult>): void {
    this.#result = { ...this.#result, ...more };
  }

  /** The stage before it is over; `what` is what the run is at. */
  async begin(name: string, what: string): Promise<void> {
    this.#closeStage();
    this.#stage = { name, sinceMs: this.#world.clock.monotonicMs() };
    await this.at(what);
  }

  /** A disk that takes nothing does not stop the work: whoever asks sees less of it, and the end says so. */
  async at(what: string): Promise<void> {
    this.set({ now: { what, sinceMs: this.#world.clock.wallMs() } });
    try {
      await this.#write();
    } catch (error) {
      if (!this.#isUnwritten) this.#world.log.error("bootstrap.result", error);
      this.#isUnwritten = true;
    }
  }

  findings(found: readonly Finding[]): void {
    this.set({ findings: [...this.#result.findings, ...found.map(findingRecord)].slice(0, maxFindings) });
  }

  async end(state: "done" | "failed", problems: readonly Problem[] = []): Promise<BootResult> {
    this.#closeStage();
    const { now: _over, ...rest } = this.#result;
    const said = problems.map(harmlessRecord);
    this.#result = { ...rest, state, endedMs: this.#world.clock.wallMs(), problems: [...rest.problems, ...said] };
    await this.#write();
    return this.#result;
  }

  #closeStage(): void {
    if (this.#stage === undefined) return;
    const { name, sinceMs } = this.#stage;
    const tookMs = Math.round(this.#world.clock.monotonicMs() - sinceMs);
    this.set({ stages: [...this.#result.stages, { name, tookMs }] });
    this.#stage = undefined;
  }

  async #write(): Promise<void> {
    await this.#world.disk.write(bootFiles.result, encodeBootResult(this.#result));
  }
}

export function findingRecord({ severity, problem }: Finding): FindingRecord {
  return { severity, ...harmlessRecord(problem) };
}

/** Without what looks like a secret: programs and servers may have said anything. */
export function harmlessRecord(problem: Problem): ProblemRecord {
  const record = toRecord(problem);
  return { ...record, message: redacted(record.message) };
}
