// One first boot, from finding the user-data to units that are told to start. Front door of the room, beside joining.
// Reach first, each step on its own; then everything else, checked whole before it begins. Units are not waited for.
import type { BootResult, StepRecord } from "../domain/boot-result.ts";
import type { Stage, Step } from "../domain/first-boot.ts";
import { Problem, asProblem } from "../domain/problem.ts";
import type { Finding } from "../domain/user-data.ts";
import type { Mode, Plan } from "../firstboot/firstboot.ts";
import { describeStep } from "../firstboot/show.ts";
import type { HostSetup } from "../ports/host-setup.ts";
import type { FoundUserData } from "../ports/user-data-sources.ts";
import { BootNotes } from "./boot-notes.ts";
import type { BootRequest } from "../ports/first-boot.ts";
import { type BootWorld, bootFiles } from "./boot-world.ts";
import { encodeKept } from "./kept.ts";
import { type Prepared, type ReadRecord, modeOf, planAll, prepare, readRecord, searchUserData } from "./prepare.ts";
import { type RunState, checkSteps, ofStage, remember, runSteps } from "./run-steps.ts";

/**
 * Runs it once. Resolves with what came of it, also when the document is refused or something fails: the same stands in
 * the result file then. Rejects with "bootstrap-running" while another run is at work, and when not even the result can be
 * written.
 */
export async function bootstrapOnce(world: BootWorld, request: BootRequest, signal: AbortSignal): Promise<BootResult> {
  const release = await world.lock.take();
  try {
    const notes = new BootNotes(world);
    try {
      return await new Run(world, { request, notes, signal }).all();
    } catch (error) {
      const problem = asProblem(error, "bootstrap-failed", "Cannot go on with the boot");
      world.log.error("bootstrap.ended", problem);
      return await notes.end("failed", [problem]);
    }
  } finally {
    await release();
  }
}

const stageWords: Readonly<Record<Stage, string>> = {
  reach: "setting up name, accounts and keys",
  early: "carrying out what comes first",
  files: "writing files",
  units: "telling units to start",
  late: "carrying out what comes last",
};

class Run {
  readonly #world: BootWorld;
  readonly #request: BootRequest;
  readonly #notes: BootNotes;
  readonly #signal: AbortSignal;

  constructor(
    world: BootWorld,
    {
      request,
      notes,
      signal,
    }: { readonly request: BootRequest; readonly notes: BootNotes; readonly signal: AbortSignal },
  ) {
    this.#world = world;
    this.#request = request;
    this.#notes = notes;
    this.#signal = signal;
  }

  async all(): Promise<BootResult> {
    const { log, openSetup } = this.#world;
    const found = await this.#find();
    if (found === undefined) return this.#notes.end("done");
    const record = await readRecord(this.#world);
    const mode = await modeOf(this.#world, this.#request, {
      record: record.value,
      instanceId: found.metadata.instanceId,
    });
    this.#notes.set({ mode });
    const setup = openSetup(found.metadata.instanceId);
    try {
      const result = await this.#become({ found, mode, setup, record });
      log.info("bootstrap.ended", { state: result.state, ms: (result.endedMs ?? 0) - result.startedMs });
      return result;
    } finally {
      await setup.close();
    }
  }

  /** Undefined: nobody has user-data for this machine, as on one that was set up by hand. */
  async #find(): Promise<FoundUserData | undefined> {
    const notes = this.#notes;
    await notes.begin("search", "looking for user-data");
    const search = await searchUserData(this.#world, this.#request, {
      signal: this.#signal,
      progress: ({ source, outcome, why }) => this.#world.log.debug("bootstrap.source", { source, outcome, why }),
    });
    notes.set({ probes: search.probes });
    for (const { source, outcome, why } of search.probes.filter((probe) => probe.outcome !== "found"))
      this.#world.log.debug("bootstrap.probe", { source, outcome, why });
    if (search.found === undefined) {
      if (!search.isCertain) throw search.problem;
      const { code, message, hint } = search.problem;
      this.#world.log.info("bootstrap.nothing", { code, message, hint });
      return undefined;
    }
    const { source: name, where, metadata } = search.found;
    notes.set({
      source: { name, where, isKept: search.isKept },
      ...(metadata.instanceId === undefined ? {} : { instanceId: metadata.instanceId }),
    });
    this.#world.log.info("bootstrap.found", { source: name, where, kept: search.isKept });
    this.#tell(search.findings);
    return search.found;
  }

  async #become(start: {
    readonly found: FoundUserData;
    readonly mode: Mode;
    readonly setup: HostSetup;
    readonly record: ReadRecord;
  }): Promise<BootResult> {
    const notes = this.#notes;
    await notes.begin("read", "reading the user-data");
    const prepared = await prepare(this.#world, start);
    const { facts, record, isRecordLost, mode, setup, reach } = prepared;
    const unkept = await this.#keep(prepared);
    const state: RunState = {
      setup,
      facts,
      mode,
      record,
      isRecordLost,
      troubles: unkept === undefined ? [] : [unkept],
      warn: (problem) => this.#tell([{ severity: "warning", problem }]),
      results: new Map(),
      records: new Map(),
      changed: new Set(),
      ran: new Map(),
    };
    await this.#run(state, reach, "reach");
    this.#tell(prepared.reading.findings);
    // Nothing else is begun of which nothing could be remembered
    const [trouble] = state.troubles;
    if (trouble !== undefined) throw trouble;
    await notes.begin("plan", "checking what is to be done");
    const plan = await planAll(this.#world, prepared);
    if (!plan.ok) return this.#refuse(state, { plan: reach, problems: plan.problems, prepared });
    this.#tell(plan.value.notices);
    notes.set({ left: plan.value.left, watch: plan.value.watch, instanceId: plan.value.instanceId });
    for (const { id, path, isRemoved } of plan.value.left)
      this.#world.log.warn(isRemoved ? "bootstrap.removing" : "bootstrap.left", { step: id, path });
    await this.#run(state, plan.value, "reach");
    const wrong = await checkSteps(state, plan.value);
    if (wrong.length > 0) return this.#refuse(state, { plan: plan.value, problems: wrong, prepared });
    return this.#carryOut(state, plan.value);
  }

  /**
   * What was found goes onto the disk before it is made use of, so that a boot without its source knows it. A disk that
   * takes nothing keeps nobody from logging in: the problem is for afterwards.
   */
  async #keep({ found, facts }: Prepared): Promise<Problem | undefined> {
    const { disk, log } = this.#world;
    const text = encodeKept({ found, machineId: facts.machineId });
    try {
      if ((await disk.read(bootFiles.found)) !== text) await disk.write(bootFiles.found, text);
      return undefined;
    } catch (error) {
      const problem = asProblem(error, "boot-kept", "Cannot keep what was found");
      log.error("bootstrap.kept", problem);
      return problem;
    }
  }

  async #carryOut(state: RunState, plan: Plan): Promise<BootResult> {
    for (const stage of ["early", "files", "units", "late"] as const) {
      const steps = ofStage(plan, stage);
      // After the last step the machine may be gone within the second: the result says first how it went
      const last = stage === "late" ? steps.filter(({ kind }) => kind === "power") : [];
      const stopped = await this.#run(state, plan, stage, { without: last });
      if (stopped !== undefined) return this.#stop(state, { plan, stage, problem: stopped });
      await remember(this.#world, state, { plan, isOver: false });
      if (last.length > 0) await this.#powerOff(state, { plan, steps: last });
    }
    await remember(this.#world, state, { plan, isOver: true });
    return this.#notes.end("done");
  }

  /** Told to happen once: that it was is on the disk before it happens. */
  async #powerOff(
    state: RunState,
    { plan, steps }: { readonly plan: Plan; readonly steps: readonly Step[] },
  ): Promise<void> {
    for (const { id } of steps) state.results.set(id, { kind: "done" });
    await remember(this.#world, state, { plan, isOver: true });
    await this.#notes.end("done");
    await runSteps(this.#world, state, { plan, steps, signal: this.#signal, onStep: async () => undefined });
    this.#tellSteps(state);
  }

  /** One stage; resolves with the problem that stopped it. */
  async #run(
    state: RunState,
    plan: Plan,
    stage: Stage,
    { without = [] }: { readonly without?: readonly Step[] } = {},
  ): Promise<Problem | undefined> {
    const steps = ofStage(plan, stage).filter((step) => !without.includes(step));
    if (steps.length === 0) return undefined;
    await this.#notes.begin(stage, stageWords[stage]);
    try {
      return await runSteps(this.#world, state, {
        plan,
        steps,
        signal: this.#signal,
        onStep: (step) => this.#notes.at(describeStep(step)),
      });
    } catch (error) {
      if (plan.covers === "all") await remember(this.#world, state, { plan, isOver: false });
      throw error;
    } finally {
      this.#tellSteps(state);
    }
  }

  async #refuse(
    state: RunState,
    {
      plan,
      problems,
      prepared,
    }: { readonly plan: Plan; readonly problems: readonly Problem[]; readonly prepared: Prepared },
  ): Promise<BootResult> {
    const isSaid = new Set(prepared.reading.findings.map(({ problem }) => problem));
    for (const problem of problems.filter((each) => !isSaid.has(each)))
      this.#world.log.error("bootstrap.refused", problem);
    // What lets somebody log in was done, and is not to be done again as if it were new
    await remember(this.#world, state, { plan: plan.covers === "all" ? prepared.reach : plan, isOver: false });
    const skipped = plan.covers === "all" ? plan.steps.filter(({ id }) => !state.records.has(id)) : [];
    for (const step of skipped) state.records.set(step.id, leftOut(step));
    this.#tellSteps(state);
    return this.#notes.end("failed", problems);
  }

  async #stop(
    state: RunState,
    { plan, stage, problem }: { readonly plan: Plan; readonly stage: Stage; readonly problem: Problem },
  ): Promise<BootResult> {
    for (const step of plan.steps.filter(({ id }) => !state.records.has(id))) state.records.set(step.id, leftOut(step));
    await remember(this.#world, state, { plan, isOver: false });
    this.#tellSteps(state);
    const hint =
      "What was done stays; what comes after it was left out. Mend it, then: systemctl restart flotilla-bootstrap";
    const message = `Cannot go on after a failure while ${stageWords[stage]}`;
    return this.#notes.end("failed", [
      new Problem("bootstrap-stopped", message, { hint, cause: problem, at: problem.at }),
    ]);
  }

  #tell(findings: readonly Finding[]): void {
    this.#notes.findings(findings);
    for (const { severity, problem } of findings) {
      const { code, message, hint, at } = problem;
      const place =
        at === undefined ? undefined : [at.file, at.line, at.column].filter((part) => part !== undefined).join(":");
      const fields = { code, at: place, key: at?.key, message, hint };
      if (severity === "error") this.#world.log.error("bootstrap.finding", problem, { key: at?.key });
      else if (severity === "warning") this.#world.log.warn("bootstrap.finding", fields);
      else this.#world.log.info("bootstrap.finding", fields);
    }
  }

  #tellSteps({ records }: RunState): void {
    this.#notes.set({ steps: [...records.values()] });
  }
}

function leftOut(step: Step): StepRecord {
  return { id: step.id, stage: step.stage, does: describeStep(step), result: "skipped" };
}
