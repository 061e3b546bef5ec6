// What people change beside git: submitted units, holds, restarts, what is said of machines. Each change is one guarded
// transaction with its event, made by whichever agent was asked; the leader sees it in the registry like everything else.
import { type WantedReader, createWantedReader } from "../desired/desired.ts";
import type { ClusterPicture } from "../domain/cluster.ts";
import { type MachineId, type UnitName, byName, isTemplate } from "../domain/names.ts";
import { Problem, invalid } from "../domain/problem.ts";
import {
  type ClusterEvent,
  type Hold,
  type Person,
  type SubmittedUnit,
  maxEventsTogether,
  maxHoldMs,
  maxPersonChars,
  maxSubmittedBytes,
  minHoldMs,
  restartId,
} from "../domain/submitted.ts";
import type { TargetState, Unit, WantedState } from "../domain/unit.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClusterView } from "../ports/cluster.ts";
import type {
  Hands,
  MaintenanceRequest,
  MaintenanceResult,
  MetadataChange,
  Submission,
  TargetRequest,
  TargetResult,
} from "../ports/hands.ts";
import type { Entry, Guard, Registry, Write } from "../ports/registry.ts";
import { lostByEvents } from "../report/report.ts";
import { compileGlob } from "../text/glob.ts";
import {
  encodeEvent,
  encodeHold,
  encodeRestart,
  encodeSubmittedUnit,
  keys,
  parseHold,
  parseRestart,
  parseSubmittedUnit,
} from "../text/values.ts";
import { changeSettings, maintain } from "./machine-settings.ts";

export interface HandsPorts {
  readonly registry: Registry;
  readonly view: Pick<ClusterView, "picture">;
  /** Resolves once the view shows everything up to this revision, or after a moment in which it could not. */
  readonly seen: (revision: number) => Promise<void>;
  readonly allowSubmit: boolean;
  readonly clock: Clock;
}

/** Somebody else's change in between is looked at again, so often. */
const maxTries = 5;
/** Machines are told of a restart through the leader; one that is not told within this is not worth a surprise. */
const restartLeaseMs = 600_000;
/** Holds in one transaction: a guard and a write each, and the event. */
const holdsAtOnce = 45;
const maxWhyChars = 256;

/** What a try comes to: the writes, or an answer without any. */
type Attempt<T> =
  | { readonly kind: "done"; readonly value: T }
  | {
      readonly kind: "write";
      readonly guards: readonly Guard[];
      readonly writes: readonly Write[];
      readonly value: T;
    };

export class ClusterHands implements Hands {
  readonly #ports: HandsPorts;
  readonly #reader: WantedReader = createWantedReader();
  #events = 0;

  constructor(ports: HandsPorts) {
    this.#ports = ports;
  }

  async submit(given: Submission, signal?: AbortSignal): Promise<"created" | "replaced" | "unchanged"> {
    const { name, text, dropIns = [], replace } = given;
    const by = person(given.by);
    this.#mustTakeSubmissions(name);
    const bytes = [text, ...dropIns.map((each) => each.text)].reduce((sum, each) => sum + Buffer.byteLength(each), 0);
    if (bytes > maxSubmittedBytes) {
      throw new Problem("unit-size", `Cannot take unit "${name}" of ${bytes} bytes`, {
        hint: `At most ${maxSubmittedBytes} are taken by hand`,
      });
    }
    const unitWith = (target: TargetState): SubmittedUnit => {
      if (isTemplate(name) && target !== "inactive") throw neverRun(name);
      const dropIn = dropIns.map((each) => ({ name: each.name, text: each.text }));
      return { name, text, dropIns: dropIn, target, by, atMs: this.#ports.clock.wallMs() };
    };
    const hash = this.#checked(unitWith("inactive"));
    const key = keys.unit(name);
    return this.#attempt(`submit unit "${name}"`, signal, async () => {
      const hint = "Submit it under another name, or change it in the repository";
      mustNotBeGits(await this.#wanted(signal), { name, what: "submit", hint });
      const { entry } = await this.#ports.registry.get(key, signal);
      const before = entry === undefined ? undefined : parseSubmittedUnit(key, entry.value);
      const old = before?.ok === true ? before.value : undefined;
      const isSame = old !== undefined && this.#hashOf(old) === hash;
      if (entry !== undefined && !isSame && !replace) {
        throw new Problem("unit-differs", `Cannot submit unit "${name}": it is there with another text`, {
          hint: "flotilla cat shows it; --replace puts the new text in its place",
        });
      }
      const unit = unitWith(given.target ?? old?.target ?? "inactive");
      if (isSame && unit.target === old.target) return { kind: "done", value: "unchanged" };
      const said = isSame
        ? this.#event("unit-target", { by, unit: name, message: `${by} wants ${name} ${unit.target}` })
        : entry === undefined
          ? this.#event("unit-submitted", { by, unit: name, message: `${by} submitted ${name}` })
          : this.#event("unit-replaced", { by, unit: name, message: `${by} replaced the text of ${name}` });
      return {
        kind: "write",
        guards: [asItIs(key, entry)],
        writes: [{ kind: "put", key, value: encodeSubmittedUnit(unit) }, said],
        value: isSame ? "unchanged" : entry === undefined ? "created" : "replaced",
      };
    });
  }

  async setTarget(request: TargetRequest, signal?: AbortSignal): Promise<TargetResult> {
    const { name, target } = request;
    return this.#attempt(`set the target of unit "${name}"`, signal, async () => {
      const wanted = await this.#wanted(signal);
      if (wanted.templates.has(name)) {
        if (target !== "inactive") throw neverRun(name);
        return { kind: "done", value: { outcome: "unchanged", before: target, target } };
      }
      const unit = wanted.units.get(name);
      if (unit === undefined) throw unknownUnit(name);
      return unit.source === "git"
        ? this.#holdOrResume(request, { unit, wanted, signal })
        : this.#setSubmitted(request, signal);
    });
  }

  async destroy(name: UnitName, by: Person, signal?: AbortSignal): Promise<void> {
    const key = keys.unit(name);
    await this.#attempt(`destroy unit "${name}"`, signal, async () => {
      mustNotBeGits(await this.#wanted(signal), { name, what: "destroy", hint: undefined });
      const { entry } = await this.#ports.registry.get(key, signal);
      if (entry === undefined) throw unknownUnit(name);
      const who = person(by);
      const said = this.#event("unit-destroyed", { by: who, unit: name, message: `${who} destroyed ${name}` });
      const writes: readonly Write[] = [{ kind: "delete", key }, { kind: "delete", key: keys.restart(name) }, said];
      return { kind: "write", guards: [asItIs(key, entry)], writes, value: undefined };
    });
  }

  async restart(name: UnitName, by: Person, signal?: AbortSignal): Promise<string> {
    const { registry } = this.#ports;
    const unit = (await this.#wanted(signal)).units.get(name);
    if (unit === undefined) throw unknownUnit(name);
    if (unit.target !== "launched") {
      throw new Problem("unit-not-launched", `Cannot restart unit "${name}" in state ${unit.target}`, {
        hint: `flotilla start ${name} starts it`,
      });
    }
    const who = person(by);
    const lease = await registry.grantLease(restartLeaseMs, signal);
    const key = keys.restart(name);
    return this.#attempt(`restart unit "${name}"`, signal, async () => {
      const { statuses } = await this.#picture(signal);
      const { entry, revision } = await registry.get(key, signal);
      const told = entry === undefined ? undefined : parseRestart(key, entry.value);
      const carriedOut = [...statuses.values()].flatMap(
        ({ units }) => units.find((each) => each.name === name)?.restart ?? [],
      );
      const earlier = told?.ok === true ? [told.value.id, ...carriedOut] : carriedOut;
      const id = restartId(revision, { earlier, nonce: this.#nonce() });
      const value = encodeRestart({ unit: name, id, by: who });
      const said = this.#event("unit-restarted", { by: who, unit: name, message: `${who} restarts ${name}` });
      const writes: readonly Write[] = [{ kind: "put", key, value, lease: lease.id }, said];
      return { kind: "write", guards: [asItIs(key, entry)], writes, value: id };
    });
  }

  async hold(
    request: Omit<TargetRequest, "name"> & { readonly patterns: readonly string[] },
    signal?: AbortSignal,
  ): Promise<readonly Hold[]> {
    const { patterns } = request;
    const wanted = await this.#wanted(signal);
    const all = [...wanted.units.values()].filter(({ source }) => source === "git").map(({ name }) => name);
    const names = [...chosen(all, patterns)];
    for (const pattern of patterns) {
      const own = wanted.units.get(pattern as UnitName);
      if (own?.source === "submitted") {
        throw new Problem("unit-submitted", `Cannot hold unit "${own.name}": it was submitted by hand`, {
          hint: `flotilla stop ${own.name} and flotilla start ${own.name} say what it is to do`,
        });
      }
      if (pattern !== "*" && chosen(all, [pattern]).size === 0) throw unknownUnit(pattern);
    }
    const holds = names.map((unit) => this.#newHold(request, unit));
    const by = person(request.by);
    const say = (what: string): string => heldWords(request, what);
    const said = this.#eventsOf("unit-held", { by, names, patterns, say });
    const puts = holds.map((hold): Write => ({ kind: "put", key: keys.hold(hold.unit), value: encodeHold(hold) }));
    await this.#writeHolds(puts, { said, signal });
    return holds;
  }

  async resume(patterns: readonly string[], by: Person, signal?: AbortSignal): Promise<readonly UnitName[]> {
    const held = [...(await this.#picture(signal)).holds.keys()];
    for (const pattern of patterns) {
      if (pattern !== "*" && chosen(held, [pattern]).size === 0) {
        throw new Problem("hold-unknown", `Cannot resume "${pattern.slice(0, maxWhyChars)}": there is no hold on it`, {
          hint: held.length === 0 ? "Nothing is held" : "flotilla list-holds shows all holds",
        });
      }
    }
    const names = [...chosen(held, patterns)];
    const who = person(by);
    const say = (what: string): string => `${who} lifted the hold on ${what}`;
    const said = this.#eventsOf("unit-resumed", { by: who, names, patterns, say });
    const deletes = names.map((name): Write => ({ kind: "delete", key: keys.hold(name) }));
    await this.#writeHolds(deletes, { said, signal });
    return names;
  }

  async changeMetadata(changes: readonly MetadataChange[], by: Person, signal?: AbortSignal): Promise<void> {
    await this.#attempt("change the metadata of machines", signal, async () => {
      const who = person(by);
      const step = await changeSettings(changes, this.#settingsWith(who, signal));
      if (step.writes.length === 0) return { kind: "done", value: undefined };
      const said = step.said.map((each) => this.#event("machine-changed", { by: who, ...each }));
      return { kind: "write", guards: step.guards, writes: [...step.writes, ...said], value: undefined };
    });
  }

  async maintain(request: MaintenanceRequest, signal?: AbortSignal): Promise<MaintenanceResult> {
    const by = person(request.by);
    return this.#attempt(`${request.change} machine "${request.machine}"`, signal, async () => {
      const given = { ...this.#settingsWith(by, signal), newId: () => this.#newId() };
      const { guards, writes, event, result } = await maintain(request, given);
      if (event === undefined) return { kind: "done", value: result };
      const said = this.#event(event.kind, { by, machine: event.machine, message: event.message });
      return { kind: "write", guards, writes: [...writes, said], value: result };
    });
  }

  /** What a change of a machine's settings is made with. */
  #settingsWith(by: Person, signal: AbortSignal | undefined): Parameters<typeof changeSettings>[1] {
    const { registry, clock, view } = this.#ports;
    const nameOfGone = async (machine: MachineId): Promise<string | undefined> => {
      const { events } = await view.picture(signal);
      return lostByEvents(events).find(({ id }) => id === machine)?.hostname;
    };
    return { registry, by, atMs: clock.wallMs(), nameOfGone, signal };
  }

  async #setSubmitted(request: TargetRequest, signal: AbortSignal | undefined): Promise<Attempt<TargetResult>> {
    const { name, target } = request;
    this.#mustTakeSubmissions(name);
    const key = keys.unit(name);
    const { entry } = await this.#ports.registry.get(key, signal);
    const read = entry === undefined ? undefined : parseSubmittedUnit(key, entry.value);
    if (read?.ok === false) throw new AggregateError(read.problems);
    if (read === undefined) throw unknownUnit(name);
    const before = read.value.target;
    if (before === target) return { kind: "done", value: { outcome: "unchanged", before, target } };
    const by = person(request.by);
    const value = encodeSubmittedUnit({ ...read.value, target, by, atMs: this.#ports.clock.wallMs() });
    const said = this.#event("unit-target", { by, unit: name, message: `${by} wants ${name} ${target}` });
    return {
      kind: "write",
      guards: [asItIs(key, entry)],
      writes: [{ kind: "put", key, value }, said],
      value: { outcome: "set", before, target },
    };
  }

  /** What git wants by itself needs no hold. */
  async #holdOrResume(
    request: TargetRequest,
    {
      unit,
      wanted,
      signal,
    }: { readonly unit: Unit; readonly wanted: WantedState; readonly signal: AbortSignal | undefined },
  ): Promise<Attempt<TargetResult>> {
    const { name, target, why, forMs } = request;
    const key = keys.hold(name);
    const { entry } = await this.#ports.registry.get(key, signal);
    const read = entry === undefined ? undefined : parseHold(key, entry.value);
    const hold = read?.ok === true ? read.value : undefined;
    const declared = wanted.held.get(name)?.declared ?? unit.target;
    const before = hold?.target ?? declared;
    const by = person(request.by);
    const guards = [asItIs(key, entry)];
    if (target === declared) {
      if (entry === undefined) return { kind: "done", value: { outcome: "unchanged", before, target } };
      const said = this.#event("unit-resumed", { by, unit: name, message: `${by} lifted the hold on ${name}` });
      return {
        kind: "write",
        guards,
        writes: [{ kind: "delete", key }, said],
        value: { outcome: "resumed", before, target },
      };
    }
    // A hold that ends is not what is asked for where no end is
    const isHeld = hold?.target === target && (hold.untilMs === undefined || request.keepsHold === true);
    if (isHeld && why === undefined && forMs === undefined) {
      return { kind: "done", value: { outcome: "unchanged", before, target } };
    }
    const said = this.#event("unit-held", { by, unit: name, message: heldWords(request, name) });
    const put: Write = { kind: "put", key, value: encodeHold(this.#newHold(request, name)) };
    return { kind: "write", guards, writes: [put, said], value: { outcome: "held", before, target } };
  }

  #newHold({ target, by, why, forMs }: Omit<TargetRequest, "name">, unit: UnitName): Hold {
    const atMs = this.#ports.clock.wallMs();
    if (forMs !== undefined && !(forMs >= minHoldMs && forMs <= maxHoldMs)) {
      throw new Problem("hold-time", `Cannot hold a unit for ${forMs} ms`, {
        hint: `A hold lasts from ${minHoldMs / 1000} s to ${maxHoldMs / 86_400_000} days, or until it is lifted`,
      });
    }
    if (why !== undefined && (why.length > maxWhyChars || /[\p{C}]/u.test(why))) {
      throw new Problem("hold-why", "Cannot take this reason for a hold", {
        hint: `One line of at most ${maxWhyChars} characters`,
      });
    }
    return {
      unit,
      target,
      by: person(by),
      atMs,
      ...(why === undefined || why === "" ? {} : { why }),
      ...(forMs === undefined ? {} : { untilMs: atMs + forMs }),
    };
  }

  /** As many at once as a transaction takes, their events with the first. The last word counts: nothing is compared. */
  async #writeHolds(
    writes: readonly Write[],
    { said, signal }: { readonly said: readonly Write[]; readonly signal: AbortSignal | undefined },
  ): Promise<void> {
    let seen = 0;
    for (let from = 0; from < writes.length; from += holdsAtOnce) {
      const batch = writes.slice(from, from + holdsAtOnce);
      const transaction = { guards: [], writes: from === 0 ? [...batch, ...said] : batch };
      seen = (await this.#ports.registry.write(transaction, signal)).revision;
    }
    if (writes.length > 0) await this.#ports.seen(seen);
  }

  /** Tries again while somebody else changes the same thing. */
  async #attempt<T>(what: string, signal: AbortSignal | undefined, look: () => Promise<Attempt<T>>): Promise<T> {
    for (let tries = 0; tries < maxTries; tries++) {
      const attempt = await look();
      if (attempt.kind === "done") return attempt.value;
      const { guards, writes, value } = attempt;
      const { applied, revision } = await this.#ports.registry.write({ guards, writes }, signal);
      if (!applied) continue;
      await this.#ports.seen(revision);
      return value;
    }
    throw new Problem("registry-changed", `Cannot ${what}: others keep changing it`, { hint: "Try again" });
  }

  /** What was, or what one machine knows by itself, is nothing to change the cluster on. */
  async #picture(signal: AbortSignal | undefined): Promise<ClusterPicture> {
    const picture = await this.#ports.view.picture(signal);
    if (picture.stale !== true) return picture;
    throw new Problem("registry-unreachable", "Cannot change anything while the registry is away", {
      hint: "flotilla status says what keeps this machine from it; what runs goes on",
    });
  }

  async #wanted(signal: AbortSignal | undefined): Promise<WantedState> {
    const { desired, revision } = await this.#picture(signal);
    if (desired !== undefined) return desired;
    const { adopted } = revision;
    throw new Problem(
      "commit-missing",
      `Cannot read the units of ${adopted ? `commit ${adopted.commit}` : "the cluster"}`,
      {
        hint: "This agent has not got them; flotilla status says what keeps it from having them",
      },
    );
  }

  /** The hash of a unit that can be taken; throws every problem of one that cannot. */
  #checked(unit: SubmittedUnit): string {
    const shaped = parseSubmittedUnit(keys.unit(unit.name), encodeSubmittedUnit(unit));
    // What nobody could read from the registry must not get there
    const read = shaped.ok
      ? this.#reader.unit(unit)
      : invalid(
          ...shaped.problems.map(({ hint, cause }) => {
            return new Problem("unit-shape", `Cannot take unit "${unit.name}"`, { hint, cause });
          }),
        );
    if (read.ok) return read.value.hash;
    const [only] = read.problems;
    throw read.problems.length === 1 && only !== undefined ? only : new AggregateError(read.problems);
  }

  #hashOf(unit: SubmittedUnit): string | undefined {
    const read = this.#reader.unit(unit);
    return read.ok ? read.value.hash : undefined;
  }

  #mustTakeSubmissions(name: UnitName): void {
    if (this.#ports.allowSubmit) return;
    throw new Problem("submit-off", `Cannot take unit "${name}" by hand: this machine takes units from git alone`, {
      hint: "Commit it to the repository; [Agent] AllowSubmit= says so",
    });
  }

  #event(
    kind: ClusterEvent["kind"],
    more: Pick<ClusterEvent, "by" | "message"> & { readonly unit?: UnitName; readonly machine?: MachineId },
  ): Write {
    const atMs = this.#ports.clock.wallMs();
    // What one machine did within a millisecond stays in order
    const count = String(this.#events++ % 1e6).padStart(6, "0");
    const key = keys.event(atMs, `${count}-${this.#nonce()}`);
    return { kind: "put", key, value: encodeEvent({ ...more, kind, atMs }) };
  }

  /** One for each unit, so that each unit's events tell of it; one for all of very many. */
  #eventsOf(
    kind: ClusterEvent["kind"],
    of: {
      readonly by: Person;
      readonly names: readonly UnitName[];
      readonly patterns: readonly string[];
      readonly say: (what: string) => string;
    },
  ): readonly Write[] {
    const { by, names, patterns, say } = of;
    if (names.length <= maxEventsTogether)
      return names.map((unit) => this.#event(kind, { by, unit, message: say(unit) }));
    return [this.#event(kind, { by, message: say(`${names.length} units (${patterns.join(" ")})`) })];
  }

  /** Unlike every other. */
  #newId(): string {
    return `${Math.trunc(this.#ports.clock.wallMs()).toString(36)}-${this.#nonce()}`;
  }

  #nonce(): string {
    return Math.floor(this.#ports.clock.random() * 36 ** 8).toString(36);
  }
}

function asItIs(key: string, entry: Entry | undefined): Guard {
  return entry === undefined
    ? { kind: "created", key, revision: 0 }
    : { kind: "modified", key, revision: entry.modRevision };
}

/** Names that one of the patterns names, in name order. */
function chosen(names: readonly UnitName[], patterns: readonly string[]): ReadonlySet<UnitName> {
  const tests = patterns.map((pattern) => {
    const compiled = compileGlob(pattern);
    if (!compiled.ok) throw new AggregateError(compiled.problems);
    return compiled.value;
  });
  return new Set(names.filter((name) => tests.some((test) => test(name))).sort(byName));
}

function mustNotBeGits(
  { units, templates }: WantedState,
  { name, what, hint }: { readonly name: UnitName; readonly what: string; readonly hint: string | undefined },
): void {
  const own = units.get(name) ?? templates.get(name);
  if (own?.source !== "git") return;
  throw new Problem("unit-git", `Cannot ${what} unit "${name}": the repository has it in ${own.file}`, {
    hint: hint ?? `Remove ${own.file} from the repository and commit; flotilla stop ${name} holds it meanwhile`,
  });
}

function unknownUnit(name: string): Problem {
  return new Problem("unit-unknown", `Cannot find unit "${name.slice(0, 255)}"`, {
    hint: "flotilla list-unit-files shows every unit",
  });
}

function neverRun(name: UnitName): Problem {
  return new Problem("unit-template", `Cannot run template "${name}"`, {
    hint: `Start an instance of it: ${name.replace("@", "@1")}`,
  });
}

/** What a hold's event says, however it was placed. */
function heldWords({ by, target, why }: Omit<TargetRequest, "name">, what: string): string {
  return `${person(by)} holds ${what} at ${target}${why === undefined || why === "" ? "" : ` (${why})`}`;
}

function person(by: Person): Person {
  const text = by
    .replace(/[^\x20-\x7e]/g, "?")
    .trim()
    .slice(0, maxPersonChars);
  return text === "" ? "unknown" : text;
}
