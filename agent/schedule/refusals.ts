// Why machines would not take a unit: counted per rule, and one example of each in words. Given to the steps of this room
// and through the decisions to people. Reads the board; changes nothing.
import type { Refusal, RefusalRule } from "../domain/placement.ts";
import { refusalRules } from "../domain/placement.ts";
import { byName } from "../domain/names.ts";
import type { MetadataTest, PlacementOptions } from "../domain/unit.ts";
import { arrivalRefusal, isOn, isPlaced } from "./board.ts";
import { bytesInWords, cpusInWords } from "../text/amounts.ts";
import { type Host, type HostIndex, cordonInWords, holds, shortId, standingRefusal } from "./machines.ts";
import { type ActiveUnit } from "./units.ts";
import { shapeOf } from "./waiting.ts";

/** Longest circle that is written out in an example. */
const namesInCircle = 8;

export interface Refused {
  readonly unit: ActiveUnit;
  readonly host: Host;
  readonly rule: RefusalRule;
}

/** e.g. `conflicts with web@1.service`; true of the board as it stands now. */
export function inWords({ unit, host, rule }: Refused): string {
  switch (rule) {
    case "machine-id":
      return `needs machine ${unit.options.machineId || '""'}`;
    case "metadata":
      return metadataInWords(unit.options, host);
    case "cordoned":
      return `machine ${shortId(host.id)} ${cordonInWords(host)}`;
    case "spread":
      return `needs metadata with the key ${unit.options.spread ?? ""}, over which it is spread`;
    case "machine-of":
      return followInWords(unit, host);
    case "machine-of-cycle":
      return circleInWords(unit.cycle ?? []);
    case "conflict":
      return `conflicts with ${conflicting(unit, host)[0]?.name ?? "a unit there"}`;
    case "replaced":
      return replaceInWords(unit, host);
    case "memory":
      return `${memoryInWords(unit, host)} on ${shortId(host.id)}`;
    case "cpu":
      return `${cpuInWords(unit, host)} on ${shortId(host.id)}`;
    case "no-machine":
      return `machine ${shortId(host.id)} has not come back yet`;
  }
}

/** Counts by the first rule of each machine, in the order of the rules. Shared by units that every machine answers alike. */
export function refusalCounter(index: HostIndex): (unit: ActiveUnit) => readonly Refusal[] {
  const known = new Map<string, readonly Refusal[]>();
  const circles = new Map<readonly ActiveUnit[], readonly Refusal[]>();
  return (unit) => {
    if (unit.cycle !== undefined) {
      const found = circles.get(unit.cycle) ?? circleRefusal(index, unit.cycle);
      circles.set(unit.cycle, found);
      return found;
    }
    const key = shapeOf(unit);
    const found = known.get(key) ?? countRefusals(index, unit);
    known.set(key, found);
    return found;
  };
}

function circleRefusal(index: HostIndex, circle: readonly ActiveUnit[]): readonly Refusal[] {
  return [{ rule: "machine-of-cycle", machines: index.present.length, example: circleInWords(circle) }];
}

function countRefusals(index: HostIndex, unit: ActiveUnit): readonly Refusal[] {
  const { hosts, present } = index;
  if (hosts.length === 0) return [nobody];
  const count = new RefusalCount();
  const refuse = (rule: RefusalRule, host: Host | undefined, machines = 1): void => {
    if (host !== undefined && machines > 0) count.add({ unit, host, rule }, machines);
  };
  const rightId = present.filter((host) => standingRefusal(unit.options, host) !== "machine-id");
  const fitting = index.classOf(unit.options, unit.wishes).members;
  refuse("machine-id", firstMissing(present, rightId), present.length - rightId.length);
  refuse("metadata", firstMissing(rightId, fitting), rightId.length - fitting.length);
  for (const host of fitting) {
    const rule = arrivalRefusal(unit, host);
    if (rule !== undefined) refuse(rule, host);
    else if (unit.replaces.some((other) => isOn(other, host))) refuse("replaced", host);
  }
  const presumed = hosts.filter((host) => !host.present);
  refuse("no-machine", presumed[0], presumed.length);
  return count.refusals();
}

const nobody: Refusal = { rule: "no-machine", machines: 0, example: "no machine is present" };

/** Machines by the rule that they refuse by; the first of each gives the example, as the board stands when it is added. */
export class RefusalCount {
  readonly #found = new Map<RefusalRule, { machines: number; readonly example: string }>();

  add(refused: Refused, machines = 1): void {
    const before = this.#found.get(refused.rule);
    if (before === undefined) this.#found.set(refused.rule, { machines, example: inWords(refused) });
    else before.machines += machines;
  }

  /** In the order of the rules. */
  refusals(): readonly Refusal[] {
    return refusalRules.flatMap((rule) => {
      const entry = this.#found.get(rule);
      return entry === undefined ? [] : [{ rule, ...entry }];
    });
  }
}

/** Both in id order; `some` is part of `all`. */
function firstMissing(all: readonly Host[], some: readonly Host[]): Host | undefined {
  return all.find((host, at) => some[at] !== host);
}

/** e.g. `needs region=eu or region=us`, `needs cores>=8`. */
function metadataInWords(options: PlacementOptions, host: Pick<Host, "id" | "metadata">): string {
  const only = { ...options, machineId: undefined };
  const unmet = options.metadata.find(
    (rule) => standingRefusal({ ...only, metadata: [rule], demands: [] }, host) !== undefined,
  );
  if (unmet !== undefined) return `needs ${unmet.values.map((value) => `${unmet.key}=${value}`).join(" or ")}`;
  const demand = options.demands?.find((test) => !holds(test, host.metadata));
  return `needs ${demand === undefined ? "other metadata" : testInWords(demand)}`;
}

/** As it is written in a unit. */
export function testInWords(test: MetadataTest): string {
  switch (test.test) {
    case "exists":
      return test.key;
    case "missing":
      return `!${test.key}`;
    case "equals":
      return `${test.key}=${test.value}`;
    case "differs":
      return `${test.key}!=${test.value}`;
    case "below":
      return `${test.key}<${test.value}`;
    case "at-most":
      return `${test.key}<=${test.value}`;
    case "above":
      return `${test.key}>${test.value}`;
    case "at-least":
      return `${test.key}>=${test.value}`;
  }
}

export function memoryInWords({ options }: ActiveUnit, host: Host): string {
  const free = Math.max(0, host.memoryBytes - host.reservedBytes);
  return `needs ${bytesInWords(host.bytesOf(options.memory))} of memory, ${bytesInWords(free)} are free`;
}

export function cpuInWords({ options }: ActiveUnit, host: Host): string {
  const free = Math.max(0, host.milliCpus - host.reservedMilliCpus);
  return `needs ${cpusInWords(options.milliCpus ?? 0)} processors, ${cpusInWords(free)} are free`;
}

function followInWords(unit: ActiveUnit, host: Host): string {
  if (unit.absent !== undefined) return `needs ${unit.absent}, which is inactive or not in the repository`;
  const missed = unit.follows.find((target) => !isPlaced(target)) ?? unit.follows.find((target) => !isOn(target, host));
  return `needs ${missed?.name ?? "a unit"} on the same machine`;
}

function circleInWords(circle: readonly ActiveUnit[]): string {
  const [start] = circle;
  if (start === undefined) return "follows itself";
  const walked: ActiveUnit[] = [];
  for (let at: ActiveUnit | undefined = start; at !== undefined && !walked.includes(at);) {
    walked.push(at);
    if (walked.length > namesInCircle)
      return `${walked.map(({ name }) => name).join(" follows ")} and so on in a circle`;
    at = at.follows.find((target) => circle.includes(target));
    if (at !== undefined && walked.includes(at)) walked.splice(0, walked.indexOf(at));
  }
  return [...walked, walked[0] ?? start].map(({ name }) => name).join(" follows ");
}

/** All there that conflict with it, in name order. */
export function conflicting(unit: ActiveUnit, host: Host): readonly ActiveUnit[] {
  const found = [...host.units].filter((other) => other !== unit && excludeEachOther(unit, other));
  return found.sort((a, b) => byName(a.name, b.name));
}

/** Whether a pattern of either matches the other's name. */
export function excludeEachOther(unit: ActiveUnit, other: ActiveUnit): boolean {
  return (
    unit.declares.some((pattern) => other.matching.includes(pattern)) ||
    unit.matching.some((pattern) => other.declares.includes(pattern))
  );
}

function replaceInWords(unit: ActiveUnit, host: Host): string {
  const there = (other: ActiveUnit): boolean => isOn(other, host);
  const stronger = unit.replacedBy.find(there);
  if (stronger !== undefined) return `is replaced by ${stronger.name} there`;
  return `replaces ${unit.replaces.find(there)?.name ?? "a unit"}, which no other machine can take`;
}
