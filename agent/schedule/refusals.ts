// Why machines would not take a unit: counted per rule, and one example of each in words. Given to the steps of this room
// and through the decisions to `explain`. Reads the board; changes nothing.
import type { Refusal, RefusalRule } from "../domain/placement.ts";
import { refusalRules } from "../domain/placement.ts";
import type { PlacementOptions } from "../domain/unit.ts";
import { type Host, shortId, standingRefusal } from "./machines.ts";
import type { Pass } from "./pass.ts";
import { isRelated, shapeKey } from "./pools.ts";
import type { ActiveUnit } from "./units.ts";

/** Longest circle that is written out in an example. */
const namesInCircle = 8;

export interface Refused {
  readonly unit: ActiveUnit;
  readonly host: Host;
  readonly rule: RefusalRule;
}

/** e.g. `conflicts with web@1.service`; true of the board as it stands now. */
export function inWords(pass: Pass, { unit, host, rule }: Refused): string {
  switch (rule) {
    case "machine-id":
      return `needs machine ${unit.options.machineId || '""'}`;
    case "metadata":
      return metadataInWords(unit.options, host);
    case "machine-of":
      return followInWords(pass, unit, host);
    case "machine-of-cycle":
      return circleInWords(pass.cycles.get(unit) ?? []);
    case "conflict":
      return `conflicts with ${conflicting(pass, unit, host)?.name ?? "a unit there"}`;
    case "replaced":
      return replaceInWords(pass, unit, host);
    case "cordoned":
      return `machine ${shortId(host.id)} is cordoned`;
    case "spread":
      return `needs the metadata key ${unit.options.spread ?? ""}`;
    case "memory":
      return "needs more memory than is free";
    case "cpu":
      return "needs more of a processor than is free";
    case "no-machine":
      return `machine ${shortId(host.id)} has not come back yet`;
  }
}

/** Counts by the first rule of each machine, in the order of the rules. Shared by units that every machine answers alike. */
export function refusalCounter(pass: Pass): (unit: ActiveUnit) => readonly Refusal[] {
  const known = new Map<string, readonly Refusal[]>();
  const circles = new Map<readonly ActiveUnit[], readonly Refusal[]>();
  return (unit) => {
    const circle = pass.cycles.get(unit);
    if (circle !== undefined) {
      const found = circles.get(circle) ?? circleRefusal(pass, circle);
      circles.set(circle, found);
      return found;
    }
    const hosts = pass.index.classOf(unit.options);
    const key = isRelated(unit) ? shapeKey(unit, hosts) : hosts.key;
    const found = known.get(key) ?? count(pass, unit);
    known.set(key, found);
    return found;
  };
}

function circleRefusal(pass: Pass, circle: readonly ActiveUnit[]): readonly Refusal[] {
  return [{ rule: "machine-of-cycle", machines: pass.index.present.length, example: circleInWords(circle) }];
}

function count(pass: Pass, unit: ActiveUnit): readonly Refusal[] {
  const { index, board } = pass;
  if (index.hosts.length === 0) return [{ rule: "no-machine", machines: 0, example: "no machine is present" }];
  const found = new Map<RefusalRule, { machines: number; host: Host }>();
  const refuse = (rule: RefusalRule, host: Host | undefined, machines = 1): void => {
    if (host === undefined || machines === 0) return;
    const before = found.get(rule);
    if (before === undefined) found.set(rule, { machines, host });
    else before.machines += machines;
  };
  const rightId = index.classOf({ ...unit.options, metadata: [] }).members;
  const fitting = index.classOf(unit.options).members;
  refuse("machine-id", firstMissing(index.present, rightId), index.present.length - rightId.length);
  refuse("metadata", firstMissing(rightId, fitting), rightId.length - fitting.length);
  if (followsNobody(pass, unit)) {
    refuse("machine-of", fitting[0], fitting.length);
  } else {
    for (const host of fitting) {
      const rule = board.arrivalRefusal(unit, host);
      if (rule !== undefined) refuse(rule, host);
      else if (unit.replaces.some((other) => board.isOn(other, host))) refuse("replaced", host);
    }
  }
  const presumed = index.hosts.filter((host) => !host.present);
  refuse("no-machine", presumed[0], presumed.length);
  return refusalRules.flatMap((rule) => {
    const entry = found.get(rule);
    if (entry === undefined) return [];
    return [{ rule, machines: entry.machines, example: inWords(pass, { unit, host: entry.host, rule }) }];
  });
}

/** Whether a unit that it must sit with is nowhere, which spares asking every machine. */
function followsNobody(pass: Pass, unit: ActiveUnit): boolean {
  return unit.absent !== undefined || unit.follows.some((target) => !pass.board.isPlaced(target));
}

/** Both in id order; `some` is part of `all`. */
function firstMissing(all: readonly Host[], some: readonly Host[]): Host | undefined {
  return all.find((host, at) => some[at] !== host);
}

function metadataInWords(options: PlacementOptions, host: Host): string {
  const unmet = options.metadata.find(
    (rule) => standingRefusal({ ...options, machineId: undefined, metadata: [rule] }, host) !== undefined,
  );
  return `needs ${(unmet?.values ?? []).map((value) => `${unmet?.key ?? ""}=${value}`).join(" or ")}`;
}

function followInWords(pass: Pass, unit: ActiveUnit, host: Host): string {
  if (unit.absent !== undefined) return `needs ${unit.absent}, which is inactive or not in the repository`;
  const missed = unit.follows.find((target) => !pass.board.isOn(target, host));
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

function conflicting(pass: Pass, unit: ActiveUnit, host: Host): ActiveUnit | undefined {
  const there = (other: ActiveUnit): boolean => other !== unit && pass.board.isOn(other, host);
  const found = [
    ...unit.declares.map((pattern) => pattern.matches.find(there)),
    ...unit.matching.map((pattern) => pattern.declaredBy.find(there)),
  ].filter((other) => other !== undefined);
  return found.sort((a, b) => a.index - b.index)[0];
}

function replaceInWords(pass: Pass, unit: ActiveUnit, host: Host): string {
  const there = (other: ActiveUnit): boolean => pass.board.isOn(other, host);
  const stronger = unit.replacedBy.find(there);
  if (stronger !== undefined) return `is replaced by ${stronger.name} there`;
  return `replaces ${unit.replaces.find(there)?.name ?? "a unit"}, which no other machine can take`;
}
