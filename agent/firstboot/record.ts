// What a boot remembers, as text in one file: which steps were carried out, by digest, so that the next boot knows what is
// done, what has changed and what the document no longer has. Given to bootstrap/ as a door of its own.
import schema from "../../schemas/boot-record.json" with { type: "json" };
import type { BootRecord, RecordedStep, SetupFacts, Step, StepResult } from "../domain/first-boot.ts";
import { type Checked, Problem, invalid } from "../domain/problem.ts";
import { Secret } from "../domain/settings.ts";
import type { InstanceMetadata } from "../domain/user-data.ts";
import { canonicalJson } from "../text/canonical-json.ts";
import { sha256 } from "../text/digest.ts";
import { compileSchema } from "../text/schema.ts";

/** The parts of a plan that a record is made from. */
export interface Remembered {
  readonly instanceId: string;
  readonly covers: "all" | "reach";
  readonly steps: readonly Step[];
  readonly done: readonly Step[];
  readonly gone: ReadonlyMap<string, string>;
  readonly kept: readonly string[];
}

/** SHA-256 of what a step asks for, wherever in the document it stands; contents and secrets enter by their hash. */
export function stepDigest(step: Step): string {
  return sha256(canonicalJson(hashed({ ...step, at: undefined, unlessFailed: undefined, isProvided: undefined })));
}

function hashed(value: unknown): unknown {
  if (value instanceof Secret) return { secret: sha256(value.reveal()) };
  if (value instanceof Uint8Array) return { content: sha256(value) };
  if (Array.isArray(value)) return value.map((item: unknown) => hashed(item));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .map(([key, member]) => [key, hashed(member)]),
  );
}

/** Of every step of a plan, by id. A step that follows from others has a new digest when one of these has. */
export function planDigests({ steps, done }: Pick<Remembered, "steps" | "done">): ReadonlyMap<string, string> {
  const digests = new Map<string, string>();
  const own = new Map([...done, ...steps].map((step) => [step.id, step]));
  const of = (id: string): string => {
    const known = digests.get(id);
    const step = own.get(id);
    if (known !== undefined || step === undefined) return known ?? "";
    digests.set(id, ""); // a ring, which no plan has, ends here
    const digest = stepDigest(step);
    const whole = step.onlyAfter === undefined ? digest : sha256([digest, ...step.onlyAfter.map(of)].join("\n"));
    digests.set(id, whole);
    return whole;
  };
  for (const id of own.keys()) of(id);
  return digests;
}

export interface Due {
  /** Of `planDigests`. */
  readonly digests: ReadonlyMap<string, string>;
  readonly record: BootRecord | undefined;
  /** Ids of the steps that changed something in this run. */
  readonly changed: ReadonlySet<string>;
  readonly bootId: string;
}

/**
 * Whether a step of the plan has to be looked at and carried out now. No: it follows from others, none of which changed,
 * and it was carried out after their last change; or it acts once at each boot and did so at this one.
 */
export function isDue(step: Step, { digests, record, changed, bootId }: Due): boolean {
  const before = recorded(record, step.id);
  const isSame = before !== undefined && before.digest === digests.get(step.id);
  if (step.onlyAfter !== undefined) return !isSame || step.onlyAfter.some((id) => changed.has(id));
  if (step.frequency !== "each-boot") return true;
  const isHarmless = step.kind === "unit" && step.command === "start";
  return isHarmless || !isSame || before.bootId !== bootId;
}

/** Kinds that are carried out again on the same instance when the document says something else: that can do no harm. */
const repeatable: ReadonlySet<string> = new Set(["password", "packages", "link"]);

/** Whether a step that acts once for an instance has done so. */
export function isDone(
  step: Step,
  { record, instanceId }: { readonly record: BootRecord | undefined; readonly instanceId: string },
): boolean {
  const before = recorded(record, step.id);
  if (step.frequency !== "once-per-instance" || before?.instanceId !== instanceId || before.digest === "") return false;
  return !repeatable.has(step.kind) || before.digest === stepDigest(step);
}

function recorded(record: BootRecord | undefined, id: string): RecordedStep | undefined {
  return record !== undefined && Object.hasOwn(record.steps, id) ? record.steps[id] : undefined;
}

/**
 * The instance that this machine is. A provider that says nothing (its service may be away) does not make it another one:
 * only another machine id or another instance id does.
 */
export function instanceOf(
  given: string | undefined,
  { facts, record }: { readonly facts: SetupFacts; readonly record: BootRecord | undefined },
): { readonly id: string; readonly isCopied: boolean } {
  const own = `machine-${facts.machineId}`;
  const here = record !== undefined && record.machineId === facts.machineId ? record.instanceId : undefined;
  // set up before its provider was asked, and not copied since
  const id = here === undefined ? (given ?? own) : here === own ? own : (given ?? here);
  return { id, isCopied: record !== undefined && record.instanceId !== id };
}

export interface Outcome {
  readonly record: BootRecord | undefined;
  /** By step id; a step without a result did not come about. */
  readonly results: ReadonlyMap<string, StepResult>;
  readonly facts: SetupFacts;
  readonly nowMs: number;
}

/**
 * What is remembered after a run, or in its midst. What could not be done keeps its place, to be done at the next boot;
 * a command that ran and failed counts as run, as nobody expects it to run again and again.
 */
export function nextRecord(plan: Remembered, { record, results, facts, nowMs }: Outcome): BootRecord {
  const digests = planDigests(plan);
  const steps: Record<string, RecordedStep> = {};
  const planned = new Set([...plan.steps, ...plan.done].map(({ id }) => id));
  const goneOf = new Map([...plan.gone].map(([step, id]) => [id, step]));
  for (const [id, before] of Object.entries(record?.steps ?? {})) {
    const result = results.get(goneOf.get(id) ?? "")?.kind;
    const isLeft = goneOf.has(id) && result !== "done" && result !== "same";
    if (planned.has(id) || plan.covers === "reach" || isLeft || plan.kept.includes(id)) steps[id] = before;
  }
  for (const step of plan.steps) {
    if (plan.gone.has(step.id)) continue;
    const result = results.get(step.id);
    const before = steps[step.id];
    const digest = digests.get(step.id) ?? "";
    const own = step.kind === "file" ? sha256(step.file.content) : digest;
    const isMade = result?.kind === "done" || before?.made === own;
    const now: RecordedStep = {
      kind: step.kind,
      digest,
      frequency: step.frequency,
      stage: step.stage,
      paths: pathsOf(step),
      instanceId: plan.instanceId,
      bootId: facts.bootId,
      doneMs: nowMs,
      ...(isMade ? { made: own } : {}),
      ...(isProvided(step, before) ? { isProvided: true } : {}),
    };
    if (result?.kind === "same" && before?.digest === now.digest && before.instanceId === now.instanceId)
      steps[step.id] = { ...now, doneMs: before.doneMs };
    else if (
      result?.kind === "same" ||
      result?.kind === "done" ||
      (result?.kind === "failed" && hasRun(step, result.code))
    )
      steps[step.id] = now;
    else if (result?.kind === "failed" && before !== undefined) steps[step.id] = { ...before, digest: "" };
    else if (result?.kind === "failed") steps[step.id] = { ...now, digest: "" };
  }
  return { instanceId: plan.instanceId, machineId: facts.machineId, bootId: facts.bootId, steps };
}

function isProvided(step: Step, before: RecordedStep | undefined): boolean {
  if (step.kind !== "authorized-keys") return false;
  return step.isProvided === true || (step.keeps === true && before?.isProvided === true);
}

/** Whether nothing was heard of the provider: its service is away, or another source was named. */
export function isSilent({ instanceId, hostname, sshKeys }: InstanceMetadata): boolean {
  return instanceId === undefined && hostname === undefined && sshKeys.length === 0;
}

/** What the document runs; what we run ourselves is tried again. */
function hasRun(step: Step, code: string): boolean {
  return (
    step.kind === "command" &&
    step.id.startsWith("run ") &&
    step.frequency === "once-per-instance" &&
    code !== "aborted"
  );
}

/** What a step leaves on the disk. */
function pathsOf(step: Step): readonly string[] {
  if (step.kind === "file") return [step.file.path];
  if (step.kind === "swap") return [step.file];
  return step.kind === "block" || step.kind === "variables" || step.kind === "link" ? [step.path] : [];
}

export function encodeRecord(record: BootRecord): string {
  return `${canonicalJson(record)}\n`;
}

const shape = compileSchema<BootRecord>(schema, { code: "boot-record" });

/** Reads a record from its file. Problems have code "boot-record". */
export function parseRecord(text: string): Checked<BootRecord> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // the parser's own message quotes the text
    return invalid(
      new Problem("boot-record", `Cannot read the record of the last boot: no JSON in ${text.length} characters`),
    );
  }
  return shape(value);
}
