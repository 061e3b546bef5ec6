// What is told of a unit's place, or of what a machine takes: what placement says of it, beside what the whole cluster shows.
// Side door of the room; pure. The API answers with it; the command reads it back and turns it into lines.
import type { ClusterPicture } from "../domain/cluster.ts";
import type {
  BrokenRule,
  Candidate,
  Capacity,
  FunnelStep,
  MachineExplanation,
  MachinePlacement,
  NearMiss,
  PlaceExplanation,
  PlacedUnit,
  RefusedUnit,
  UnitExplanation,
  UnitPlacement,
} from "../domain/explanation.ts";
import type { MachineId } from "../domain/names.ts";
import type { Refusal } from "../domain/placement.ts";
import { type Checked, invalid, valid } from "../domain/problem.ts";
import type { MachineReference, UnitDetail } from "../domain/report.ts";
import { bytesInWords, cpusInWords } from "../text/amounts.ts";
import { paint } from "../text/columns.ts";
import { formatSpan } from "../text/time.ts";
import { visible } from "../text/width.ts";
import { isDrain, isHold, isLossWait, isReference, isRefusal, isRest } from "./answers.ts";
import { type Entry, count, entry, holdText, machineText, print, raw } from "./lines.ts";
import { lossWaitText } from "./loss-waits.ts";
import { describeMaintenance, maintenanceText } from "./maintenance.ts";
import { referTo } from "./places.ts";
import { type TextOptions, commitMissing, machineNotThere, registryAway, reportUnit } from "./report.ts";
import { isBoolean, isListOf, isMapOf, isNumber, isOneOf, isOptional, isRecord, isText, whole } from "./shape.ts";

/** How machines of this picture are referred to. */
export function machineReferences({ machines }: ClusterPicture): (id: MachineId) => MachineReference {
  return (id) => referTo(id, machines);
}

/**
 * `placement`: what the rules say, undefined for a unit that placement does not know. Refused with "unit-unknown" or
 * "commit-missing".
 */
export function reportUnitExplanation(
  picture: ClusterPicture,
  { name, placement }: { readonly name: string; readonly placement: UnitPlacement | undefined },
): Checked<UnitExplanation> {
  if (picture.desired === undefined) return invalid(commitMissing(picture.revision));
  const detail = reportUnit(picture, name);
  if (!detail.ok) return detail;
  const known = placement ?? unplaced(name, detail.value);
  const hold = detail.value.file?.hold;
  const { lossWait } = detail.value;
  const event = picture.events.findLast(({ kind, unit }) => kind === "unit-displaced" && unit === name);
  return valid({
    ...known,
    because: whyAtAll(known, detail.value),
    ...(lossWait === undefined ? {} : { lossWait }),
    ...(hold === undefined ? {} : { hold }),
    places: known.places.map((place) => describePlace(place, { picture, detail: detail.value })),
    ...(event === undefined ? {} : { event: { atMs: event.atMs, message: event.message } }),
  });
}

/** A template, or a unit that nobody wants any more. */
function unplaced(name: string, { file }: UnitDetail): UnitPlacement {
  return {
    ...{ name, state: "inactive", global: file?.global ?? false, places: [], machines: 0, funnel: [] },
    ...{ candidates: { machines: 0, first: [] }, misses: [], changes: [] },
  };
}

function whyAtAll(
  { state, global, places, machines, displacedBy }: UnitPlacement,
  { name, file, lossWait }: UnitDetail,
): string {
  switch (state) {
    case "inactive":
      if (file === undefined) return "nobody wants it any more: it is being taken away";
      if (file.template) return "a template is not run itself, its instances are";
      if (file.hold?.target === "inactive") return "a hold keeps it inactive";
      return "it wants to be inactive";
    case "waiting":
      return displacedBy === undefined
        ? "no machine takes it"
        : `no machine takes it; ${displacedBy} takes its place, of a higher priority`;
    case "placed": {
      const isComing = places.some(({ decision }) => decision === "place");
      if (global) return `it is${isComing ? " to be" : ""} on ${places.length} of ${count(machines, "machine")}`;
      if (lossWait !== undefined) {
        return lossWaitText(lossWait, { name, refer: (machine) => machineText(machine, false) });
      }
      return isComing ? "it has a machine, and is to be there" : "it has a machine, and stays there";
    }
  }
}

function describePlace(
  place: PlacedUnit,
  { picture, detail }: { readonly picture: ClusterPicture; readonly detail: UnitDetail },
): PlaceExplanation {
  const seen = detail.places.find(({ machine }) => machine.id === place.machine.id);
  const leaving = leavingOf(place, { picture, detail });
  return {
    ...place,
    ...(seen?.sinceMs === undefined ? {} : { sinceMs: seen.sinceMs }),
    ...(leaving === undefined ? {} : { leaving }),
  };
}

/** Where the machine is drained: what was decided of the unit, could all leave at once. */
function leavingOf(
  { machine }: PlacedUnit,
  { picture, detail }: { readonly picture: ClusterPicture; readonly detail: UnitDetail },
): PlaceExplanation["leaving"] {
  const settings = [...picture.settings.values()].find((each) => each.machine === machine.id);
  const isLeft = settings?.cordoned === true && settings.drain !== undefined && settings.drain.state !== "done";
  if (!isLeft || detail.file?.global === true) return undefined;
  for (const decision of picture.decisions) {
    if (decision.unit !== detail.name) continue;
    if (decision.kind === "place" && decision.from === machine.id)
      return { to: referTo(decision.on, picture.machines), refusals: [] };
    if (decision.kind === "keep" && decision.on === machine.id) return { refusals: decision.refusals ?? [] };
  }
  return { refusals: [] };
}

/** `placement`: undefined for a machine that placement does not know. Refused with "machine-unknown", "commit-missing" or "registry-unreachable". */
export function reportMachineExplanation(
  picture: ClusterPicture,
  { id, placement }: { readonly id: MachineId; readonly placement: MachinePlacement | undefined },
): Checked<MachineExplanation> {
  if (picture.stale === true) return invalid(registryAway(`what machine "${id}" takes`));
  if (picture.desired === undefined) return invalid(commitMissing(picture.revision));
  if (placement === undefined) return invalid(machineNotThere(id));
  const { cordoned, drain, rests } = describeMaintenance(picture, id);
  return valid({
    machine: referTo(id, picture.machines),
    ...placement,
    ...(drain === undefined ? {} : { drain }),
    ...(cordoned === true || rests === undefined ? {} : { rests }),
  });
}

const isBroken = isRecord<BrokenRule>({ rule: isText, because: isText });
const isRefused = isRecord<RefusedUnit>({ unit: isText, breaks: isListOf(isBroken) });
const isCapacity = isRecord<Capacity>({ total: isOptional(isNumber), reserved: isNumber, free: isOptional(isNumber) });
const isPlace = isRecord<PlaceExplanation>({
  machine: isReference,
  decision: isOneOf("keep", "place"),
  because: isText,
  from: isOptional(isReference),
  rank: isOptional(isNumber),
  sinceMs: isOptional(isNumber),
  leaving: isOptional(
    isRecord<NonNullable<PlaceExplanation["leaving"]>>({
      to: isOptional(isReference),
      refusals: isListOf(isRefusal),
    }),
  ),
});
const isCandidate = isRecord<Candidate>({
  machine: isReference,
  rank: isNumber,
  spread: isOptional(isNumber),
  preference: isOptional(isNumber),
  units: isNumber,
});
const isUnitExplanation = isRecord<UnitExplanation>({
  name: isText,
  state: isOneOf("placed", "waiting", "inactive"),
  because: isText,
  global: isBoolean,
  hold: isOptional(isHold),
  lossWait: isOptional(isLossWait),
  displacedBy: isOptional(isText),
  event: isOptional(isRecord<NonNullable<UnitExplanation["event"]>>({ atMs: isNumber, message: isText })),
  places: isListOf(isPlace),
  machines: isNumber,
  funnel: isListOf(isRecord<FunnelStep>({ rule: isText, machines: isNumber, left: isNumber })),
  candidates: isRecord<UnitExplanation["candidates"]>({ machines: isNumber, first: isListOf(isCandidate) }),
  misses: isListOf(isRecord<NearMiss>({ machine: isReference, breaks: isListOf(isBroken) })),
  changes: isListOf(isText),
});
const isMachineExplanation = isRecord<MachineExplanation>({
  machine: isReference,
  standing: isOneOf("present", "presumed"),
  metadata: isMapOf(isText),
  cordoned: isOptional(isBoolean),
  drain: isOptional(isDrain),
  rests: isOptional(isRest),
  memoryBytes: isCapacity,
  milliCpus: isCapacity,
  units: isListOf(
    isRecord<MachineExplanation["units"][number]>({ unit: isText, memoryBytes: isNumber, milliCpus: isNumber }),
  ),
  takes: isNumber,
  refuses: isListOf(
    isRecord<MachineExplanation["refuses"][number]>({ rule: isText, units: isNumber, unit: isText, because: isText }),
  ),
  waiting: isRecord<MachineExplanation["waiting"]>({ units: isNumber, first: isListOf(isRefused) }),
  globals: isListOf(isRefused),
});

/** How the answers are read back. */
export const explanationAnswers = { unit: whole(isUnitExplanation), machine: whole(isMachineExplanation) } as const;

/** What `explain UNIT` says. */
export function unitExplanationText(unit: UnitExplanation, options: TextOptions): string {
  const { name, state, because, hold, event, places, changes } = unit;
  const tone = !options.colour || state === "inactive" ? undefined : state === "waiting" ? "bad" : "good";
  return joined([
    visible(name),
    ...print([
      raw("State", [`${paint(state, tone)}: ${visible(because)}`]),
      ...(hold === undefined ? [] : [entry("Hold", holdText(hold, options))]),
      ...(event === undefined
        ? []
        : [entry("Displaced", `${formatSpan(options.nowMs - event.atMs)} ago: ${event.message}`)]),
      ...places.flatMap((place) => aboutPlace(place, { unit, options })),
      ...aboutRules(unit),
      ...aboutCandidates(unit, options),
      ...aboutMisses(unit, options),
      ...(changes.length === 0 ? [] : [raw("To change", changes.map(visible))]),
    ]),
  ]);
}

function aboutPlace(
  { machine, because, from, rank, leaving }: PlaceExplanation,
  { unit, options }: { readonly unit: UnitExplanation; readonly options: TextOptions },
): readonly Entry[] {
  const { full } = options;
  const whence = from === undefined ? "" : `, from ${machineText(from, full)}`;
  const { machines: takers } = unit.candidates;
  return [
    entry("Machine", `${machineText(machine, full)}${whence}`),
    entry("Why", because),
    ...(rank === undefined ? [] : [entry("Rank", `${rank} of ${count(takers, "machine")} that would take it anew`)]),
    ...(leaving === undefined ? [] : [raw("Leaving", leavingLines(leaving, full))]),
  ];
}

function leavingLines({ to, refusals }: NonNullable<PlaceExplanation["leaving"]>, full: boolean): readonly string[] {
  if (to !== undefined) return [visible(`the machine is drained; it is to go to ${machineText(to, full)}`)];
  if (refusals.length === 0) return ["the machine is drained; its turn has not come"];
  const words = ({ machines, example, rule }: Refusal): string => `${count(machines, "machine")}: ${example} (${rule})`;
  return ["the machine is drained, and no other takes it", ...refusals.map((each) => visible(words(each)))];
}

/** How many machines each rule leaves. */
function aboutRules({ funnel, global, places }: UnitExplanation): readonly Entry[] {
  const [first] = funnel;
  if (first === undefined) return [];
  const width = Math.max(...funnel.map(({ rule }) => rule.length));
  const lines = funnel.map(({ rule, left }) => `${rule.padEnd(width)}  leaves ${left}`);
  const others = global && places.length > 0 ? "other " : "";
  return [raw("Rules", [count(first.machines, `${others}machine`), ...lines.map(visible)])];
}

function aboutCandidates({ candidates }: UnitExplanation, { full }: TextOptions): readonly Entry[] {
  const { machines, first } = candidates;
  if (first.length === 0) return [];
  const lines = first.map(({ machine, rank, spread, preference, units }) =>
    [
      `${rank}. ${machineText(machine, full)}: `,
      ...(spread === undefined ? [] : [`spread ${spread}, `]),
      ...(preference === undefined ? [] : [`preference ${preference}, `]),
      count(units, "other unit"),
    ].join(""),
  );
  const more = machines - first.length;
  return [raw("Takes it", [...lines.map(visible), ...(more > 0 ? [`and ${more} more`] : [])])];
}

/** Of a unit that is on its machine they are no news. */
function aboutMisses({ state, global, misses }: UnitExplanation, { full }: TextOptions): readonly Entry[] {
  if (misses.length === 0 || (state === "placed" && !global)) return [];
  return [
    raw(
      "Nearest",
      misses.map(({ machine, breaks }) => visible(`${machineText(machine, full)}: ${inWords(breaks)}`)),
    ),
  ];
}

function inWords(breaks: readonly BrokenRule[]): string {
  return breaks.map(({ rule, because }) => `${because} (${rule})`).join("; ");
}

/** Units that are named of a machine's own. */
const maxNamed = 10;

/** What `explain MACHINE` says. */
export function machineExplanationText(explained: MachineExplanation, options: TextOptions): string {
  const { machine, metadata, memoryBytes, milliCpus, units, takes, refuses, waiting, globals } = explained;
  const refused = refuses.reduce((sum, each) => sum + each.units, 0);
  const pairs = Object.entries(metadata).map(([key, value]) => `${key}=${value}`);
  return joined([
    visible(machineText(machine, options.full)),
    ...print([
      raw("State", [stateText(explained, options)]),
      entry("Metadata", pairs.length === 0 ? "-" : pairs.join(",")),
      entry("Memory", capacityText(memoryBytes, bytesInWords)),
      entry("CPUs", capacityText(milliCpus, cpusInWords)),
      raw("Units", unitLines(units)),
      entry(
        "Takes",
        `${takes} of the ${count(takes + refused, "unit")} that ${takes + refused === 1 ? "is" : "are"} not there`,
      ),
      ...(refuses.length === 0
        ? []
        : [
            raw(
              "Refuses",
              refuses.map((each) => visible(`${each.units} by ${each.rule}, as ${each.unit}: ${each.because}`)),
            ),
          ]),
      ...aboutRefused("Waiting", { units: waiting.first, all: waiting.units }),
      ...aboutRefused("Global", { units: globals, all: globals.length }),
    ]),
  ]);
}

function stateText({ standing, cordoned, drain, rests }: MachineExplanation, { colour }: TextOptions): string {
  if (standing === "presumed") return "it may still be coming back: it keeps what it has, and takes nothing";
  if (cordoned !== true) return "it takes units";
  const { text, tone } = maintenanceText(
    rests === undefined ? { cordoned, ...(drain === undefined ? {} : { drain }) } : { rests },
  );
  return `${paint(text, colour ? tone : undefined)}: it keeps what it has, and takes nothing new`;
}

function capacityText({ total, reserved, free = 0 }: Capacity, words: (amount: number) => string): string {
  if (total === undefined) return `not known, ${words(reserved)} reserved`;
  return `${words(total)}, ${words(reserved)} reserved, ${words(free)} free`;
}

function unitLines(units: MachineExplanation["units"]): readonly string[] {
  const lines = units.slice(0, maxNamed).map(({ unit, memoryBytes, milliCpus }) => {
    const reserved = [
      ...(memoryBytes === 0 ? [] : [bytesInWords(memoryBytes)]),
      ...(milliCpus === 0 ? [] : [`${cpusInWords(milliCpus)} processors`]),
    ];
    return visible(reserved.length === 0 ? unit : `${unit}: reserves ${reserved.join(" and ")}`);
  });
  const more = units.length - lines.length;
  return lines.length === 0 ? ["none"] : [...lines, ...(more > 0 ? [`and ${more} more`] : [])];
}

function aboutRefused(
  label: string,
  { units, all }: { readonly units: readonly RefusedUnit[]; readonly all: number },
): readonly Entry[] {
  if (units.length === 0) return [];
  const shown = units.slice(0, maxNamed).map(({ unit, breaks }) => visible(`${unit}: ${inWords(breaks)}`));
  return [raw(label, [...shown, ...(all > shown.length ? [`and ${all - shown.length} more`] : [])])];
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
