// What a unit asks for in [X-Fleet], read from its text and drop-ins together: where it may run, what it takes there, in
// which state it is wanted and how it takes a change (as in fleet, with what fleet passed over in silence refused,
// and docs/placement.md). Pure.
import { type UnitName, isTemplate, parseMachineId, parseUnitName } from "../domain/names.ts";
import { type Place, Problem } from "../domain/problem.ts";
import { type Fence, type OnChange, type PlacementOptions, type TargetState, targetStates } from "../domain/unit.ts";
import { compileGlob } from "../text/glob.ts";
import { suggest } from "../text/suggest.ts";
import type { UnitFile } from "../text/unit-file.ts";
import {
  type Option,
  type Reading,
  type Setting,
  collect,
  isFilledIn,
  itemsOf,
  quoteWords,
  readLast,
  refuse,
} from "./option-reading.ts";
import { type Read, readBoolean } from "./option-values.ts";
import { partitionWords, readFence } from "./partition.ts";
import { readMetadata, readPreferences, readPriority, readReserves, readSpread } from "./placement-options.ts";

/** One text of a unit and the file that it stands in. */
export interface Source {
  readonly file: string;
  readonly parsed: UnitFile;
}

export interface UnitOptions {
  readonly placement: PlacementOptions;
  readonly target: TargetState;
  readonly onChange: OnChange;
  readonly fence: Fence | undefined;
  /** Where each name of `placement.machineOf` was written, in the same order. */
  readonly machineOfAt: readonly Place[];
}

export interface OptionsReading {
  /** Of use only when there is no problem. */
  readonly options: UnitOptions;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/** Pairs that contradict each other, and those of which the second would say nothing. */
const forbiddenPairs = [
  ["MachineID", "MachineOf"],
  ["MachineID", "Conflicts"],
  ["MachineID", "Global"],
  ["MachineID", "Replaces"],
  ["Global", "MachineOf"],
  ["Global", "Replaces"],
  ["Conflicts", "Replaces"],
  ["MachineID", "Spread"],
  ["Global", "Spread"],
  ["Global", "Prefer"],
  ["Global", "Avoid"],
  ["Global", "OnPartition"],
] as const satisfies readonly (readonly [Option, Option])[];
const changeWords = ["restart", "reload"] as const satisfies readonly OnChange[];

/**
 * Reads the options of `name`. A template is never placed; its options are those of an instance called "i", which is
 * how systemd-analyze(1) looks at templates.
 */
export function readOptions(name: UnitName, sources: readonly Source[]): OptionsReading {
  const settings = new Map<Option, Setting[]>();
  const problems: Problem[] = [];
  const warnings: Problem[] = [];
  const sample = isTemplate(name) ? sampleInstance(name) : name;
  const reading: Reading = { shown: name, name: sample, settings, problems, warnings };
  for (const { file, parsed } of sources) {
    for (const { section, key, value, line } of parsed.assignments) {
      if (section === "X-Fleet") collect({ key, value, at: { file, line } }, settings, reading);
    }
    for (const section of parsed.sections) if (section !== "X-Fleet") tellSlip(section, { file, parsed }, reading);
  }

  const machineOf = readMachineOf(reading);
  const texts = sources.map(({ parsed }) => parsed);
  const placement: PlacementOptions = {
    machineId: readMachineId(reading),
    machineOf: machineOf.map(({ unit }) => unit),
    ...readMetadata(reading),
    conflicts: readPatterns("Conflicts", reading),
    replaces: readPatterns("Replaces", reading),
    global: readLast("Global", { reading, read: readBoolean }) ?? false,
    ...readReserves(reading, texts),
    ...readSpread(reading),
    ...readPreferences(reading),
    ...readPriority(reading),
  };
  const target = readLast("DesiredState", { reading, read: (text) => oneOf(targetStates, text) });
  const onChange = readLast("OnChange", { reading, read: (text) => oneOf(changeWords, text) });
  const onPartition = readLast("OnPartition", { reading, read: (text) => oneOf(partitionWords, text) });
  const fence = readFence(reading, sources);
  checkPairs({ placement, isFenced: onPartition === "stop" }, reading);
  checkPeers(placement, reading);
  return {
    options: {
      placement,
      target: target ?? "launched",
      onChange: onChange ?? "restart",
      fence,
      machineOfAt: machineOf.map(({ at }) => at),
    },
    problems,
    warnings,
  };
}

/** Refuses a section whose name is X-Fleet but for case and blanks, and warns of one that is two slips away at most. */
function tellSlip(section: string, { file, parsed }: Source, { shown, problems, warnings }: Reading): void {
  // No section of systemd's has either letter: they are not measured for each of very many units
  if (!/[xf]/i.test(section)) return;
  const trimmed = section.trim();
  const isSame = trimmed.toLowerCase() === "x-fleet";
  if (!isSame && suggest("X-Fleet", [trimmed]) === undefined) return;
  const first = parsed.assignments.find((each) => each.section === section);
  const at = first === undefined ? { file } : { file, line: first.line };
  if (isSame) {
    const message = `Cannot take the section "${section}" of unit "${shown}"`;
    problems.push(new Problem("unit-section", message, { hint: "Write it as [X-Fleet]", at }));
  } else {
    // Without the unit's name, which would tell it once more for each instance
    warnings.push(new Problem("near-miss", `Section "${section}" is ignored`, { hint: "Did you mean [X-Fleet]?", at }));
  }
}

/** The first item of the first name that is there, as fleet has it. */
function readMachineId(reading: Reading): string | undefined {
  const items = itemsOf("MachineID", reading);
  const first = items[0];
  if (first === undefined) return undefined;
  const { text, setting } = first;
  const { shown, warnings } = reading;
  if (text === "") {
    refuse(setting, { reading, fix: "No machine has an empty id" });
    return undefined;
  }
  const rival = items.find((item) => item.setting.key === setting.key && item.text !== text);
  if (rival !== undefined) {
    const message = `Only the first ${setting.key}= of unit "${shown}" counts, which is "${text}"`;
    const hint = `An empty ${setting.key}= before it resets the first`;
    warnings.push(new Problem("unit-option-unused", message, { hint, at: rival.setting.at }));
  }
  const isId = /^[0-9a-f]{8}$/.test(text) || parseMachineId(text).ok;
  if (!isId && !(isTemplate(shown) && setting.value.includes("%"))) {
    const message = `No machine can have the id "${text}" that unit "${shown}" asks for`;
    const hint = "An id is 32 lowercase hex digits, or its first 8";
    warnings.push(new Problem("unit-option-unmatched", message, { hint, at: setting.at }));
  }
  return text;
}

function readMachineOf(reading: Reading): readonly { readonly unit: UnitName; readonly at: Place }[] {
  const found = new Map<UnitName, Place>();
  for (const { text, setting } of itemsOf("MachineOf", reading)) {
    const parsed = parseUnitName(text);
    if (!parsed.ok) {
      if (!isFilledIn(setting, reading)) refuse(setting, { reading, item: text, fix: peerFix(setting.key, text) });
    } else if (isTemplate(parsed.value)) {
      refuse(setting, { reading, item: text, fix: "A template is never run; name one of its instances" });
    } else if (parsed.value === reading.name) {
      refuse(setting, { reading, item: text, fix: "A unit cannot follow itself" });
    } else if (!found.has(parsed.value)) found.set(parsed.value, setting.at);
  }
  return [...found].map(([unit, at]) => ({ unit, at }));
}

function peerFix(key: string, text: string): string {
  if (/\s/.test(text)) return `Quote each name: ${key}=${quoteWords(text)}`;
  if (!text.includes(".") && parseUnitName(`${text}.service`).ok) return `Write the whole name, as in ${text}.service`;
  return "It must be the whole name of a unit; patterns are not read here";
}

function readPatterns(option: "Conflicts" | "Replaces", reading: Reading): readonly string[] {
  const patterns = new Set<string>();
  for (const { text, setting } of itemsOf(option, reading)) {
    if (option === "Replaces" && /\s/.test(text)) {
      refuse(setting, { reading, item: text, fix: `Quote each pattern: Replaces=${quoteWords(text)}` });
      continue;
    }
    for (const pattern of text.split(/\s+/).filter((part) => part !== "")) {
      const glob = compileGlob(pattern);
      if (!glob.ok) {
        const fix = glob.problems.map(({ hint }) => hint ?? "The pattern is malformed").join("; ");
        refuse(setting, { reading, item: pattern, fix });
        continue;
      }
      patterns.add(pattern);
      if (/[*?[\\]/.test(pattern) || parseUnitName(pattern).ok || isFilledIn(setting, reading)) continue;
      const message = `${setting.key}=${pattern} of unit "${reading.shown}" matches no unit`;
      const hint = "Patterns are compared with whole names, type and all";
      reading.warnings.push(new Problem("unit-option-unmatched", message, { hint, at: setting.at }));
    }
  }
  return [...patterns];
}

function checkPairs(
  { placement, isFenced }: { readonly placement: PlacementOptions; readonly isFenced: boolean },
  { shown, settings, problems }: Reading,
): void {
  const asked: Readonly<Record<(typeof forbiddenPairs)[number][number], boolean>> = {
    MachineID: placement.machineId !== undefined,
    MachineOf: placement.machineOf.length > 0,
    Conflicts: placement.conflicts.length > 0,
    Replaces: placement.replaces.length > 0,
    Global: placement.global,
    Spread: placement.spread !== undefined,
    Prefer: placement.prefer !== undefined,
    Avoid: placement.avoid !== undefined,
    OnPartition: isFenced,
  };
  for (const [one, other] of forbiddenPairs) {
    if (!asked[one] || !asked[other]) continue;
    const message = `Cannot take ${one}= and ${other}= together in unit "${shown}"`;
    const at = settings.get(other)?.[0]?.at;
    problems.push(new Problem("unit-option-pair", message, { hint: "Remove one of the two", at }));
  }
}

/** A unit that must and must not stand beside another can never be placed. */
function checkPeers(
  { machineOf, conflicts, replaces }: PlacementOptions,
  { shown, settings, problems }: Reading,
): void {
  if (machineOf.length === 0) return;
  for (const [option, patterns] of [["Conflicts", conflicts] as const, ["Replaces", replaces] as const]) {
    for (const pattern of patterns) {
      const glob = compileGlob(pattern);
      const peer = glob.ok ? machineOf.find((unit) => glob.value(unit)) : undefined;
      if (peer === undefined) continue;
      const message = `Cannot take MachineOf=${peer} and ${option}=${pattern} together in unit "${shown}"`;
      const hint = "It would have to be on one machine with that unit and apart from it";
      problems.push(new Problem("unit-option-pair", message, { hint, at: settings.get(option)?.[0]?.at }));
    }
  }
}

function sampleInstance(template: UnitName): UnitName {
  const dot = template.lastIndexOf(".");
  const sample = parseUnitName(`${template.slice(0, dot)}i${template.slice(dot)}`);
  return sample.ok ? sample.value : template; // a template of 253 bytes has no room for an instance
}

function oneOf<T extends string>(words: readonly T[], text: string): Read<T> {
  const word = words.find((each) => each === text);
  if (word !== undefined) return { value: word };
  const meant = suggest(text, words);
  return { fix: `Write one of ${words.join(", ")}${meant === undefined ? "" : `; did you mean ${meant}?`}` };
}
