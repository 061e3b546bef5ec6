// What a unit asks for in [X-Fleet], read from its text and drop-ins together: where it may run, what it takes there, in
// which state it is wanted and how it takes a change (fleet.md 4 and 5, with what fleet passed over in silence refused,
// and docs/placement.md). Pure.
import { type UnitName, byName, isInstance, isTemplate, parseMachineId, parseUnitName } from "../domain/names.ts";
import { type Place, Problem } from "../domain/problem.ts";
import {
  type MetadataTest,
  type OnChange,
  type PlacementOptions,
  type TargetState,
  priorityBounds,
  targetStates,
} from "../domain/unit.ts";
import { compileGlob } from "../text/glob.ts";
import { suggest } from "../text/suggest.ts";
import type { UnitFile } from "../text/unit-file.ts";
import { findContradictions, isMetadataKey, itemFix, readMetadataTest } from "./metadata-tests.ts";
import {
  type Read,
  expandAmount,
  expandSpecifiers,
  hasSpecifiers,
  readBoolean,
  readItems,
  readWhole,
} from "./option-values.ts";
import { ownMemory, ownProcessors, readMemory, readProcessors } from "./reserves.ts";

/** One text of a unit and the file that it stands in. */
export interface Source {
  readonly file: string;
  readonly parsed: UnitFile;
}

export interface UnitOptions {
  readonly placement: PlacementOptions;
  readonly target: TargetState;
  readonly onChange: OnChange;
  /** Where each name of `placement.machineOf` was written, in the same order. */
  readonly machineOfAt: readonly Place[];
}

export interface OptionsReading {
  /** Of use only when there is no problem. */
  readonly options: UnitOptions;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

type Option =
  | "MachineID"
  | "MachineOf"
  | "MachineMetadata"
  | "Conflicts"
  | "Replaces"
  | "Global"
  | "MemoryReserve"
  | "CPUReserve"
  | "Spread"
  | "Prefer"
  | "Avoid"
  | "Priority"
  | "DesiredState"
  | "OnChange";

/** Each option and the names under which it is read; fleet's older ones too. */
const optionNames: Readonly<Record<Option, readonly string[]>> = {
  MachineID: ["MachineID", "X-ConditionMachineID", "X-ConditionMachineBootID"],
  MachineOf: ["X-ConditionMachineOf", "MachineOf"],
  MachineMetadata: ["X-ConditionMachineMetadata", "MachineMetadata"],
  Conflicts: ["X-Conflicts", "Conflicts"],
  Replaces: ["Replaces"],
  Global: ["Global"],
  MemoryReserve: ["MemoryReserve"],
  CPUReserve: ["CPUReserve"],
  Spread: ["Spread"],
  Prefer: ["Prefer"],
  Avoid: ["Avoid"],
  Priority: ["Priority"],
  DesiredState: ["DesiredState"],
  OnChange: ["OnChange"],
};
const options = Object.keys(optionNames) as readonly Option[];
const optionByName: ReadonlyMap<string, Option> = new Map(
  options.flatMap((option) => optionNames[option].map((name) => [name, option] as const)),
);
const installOptions: readonly string[] = ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also", "DefaultInstance"];

/** Pairs that contradict each other (fleet.md 5), and those of which the second would say nothing. */
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
] as const satisfies readonly (readonly [Option, Option])[];
const changeWords = ["restart", "reload"] as const satisfies readonly OnChange[];

/** Whether an assignment of this name is one that flotilla knows, under any of its names. */
export function isKnownOption(name: string): boolean {
  return optionByName.has(name);
}

/** An assignment that counts, with its place. */
interface Setting {
  readonly key: string;
  readonly value: string;
  readonly at: Place;
}

/** One item of a setting, specifiers expanded. */
interface Item {
  readonly text: string;
  readonly setting: Setting;
}

/** One unit being read. */
interface Reading {
  /** As its author knows it. */
  readonly shown: UnitName;
  /** For specifiers. */
  readonly name: UnitName;
  readonly settings: ReadonlyMap<Option, readonly Setting[]>;
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

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
    for (const section of parsed.sections) {
      if (section === "X-Fleet" || section.toLowerCase() !== "x-fleet") continue;
      const message = `Cannot take the section "${section}" of unit "${name}"`;
      problems.push(new Problem("unit-section", message, { hint: "Write it as [X-Fleet]", at: { file } }));
    }
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
  checkPairs(placement, reading);
  checkPeers(placement, reading);
  return {
    options: {
      placement,
      target: target ?? "launched",
      onChange: onChange ?? "restart",
      machineOfAt: machineOf.map(({ at }) => at),
    },
    problems,
    warnings,
  };
}

/** Puts a setting to its option; an empty one resets the option under all its names. */
function collect(setting: Setting, settings: Map<Option, Setting[]>, reading: Reading): void {
  const option = optionByName.get(setting.key);
  if (option === undefined) {
    tellUnknown(setting, reading);
    return;
  }
  const earlier = settings.get(option);
  if (setting.value === "") {
    settings.delete(option);
    if (option === "MachineID" && earlier === undefined) {
      refuse(setting, { reading, fix: "No machine has an empty id; remove the line" });
    }
  } else if (earlier === undefined) settings.set(option, [setting]);
  else earlier.push(setting);
}

function tellUnknown({ key, at }: Setting, { shown, problems, warnings }: Reading): void {
  const meant = suggest(key.replace(/^X-(Condition)?/, ""), options) ?? suggest(key, [...optionByName.keys()]);
  const exact = options.find((option) => key.replace(/^X-(Condition)?/, "") === option) ?? meant;
  const hint = installOptions.includes(key)
    ? "It belongs under [Install]"
    : exact === undefined
      ? `Options are ${options.join(" ")}`
      : `Did you mean ${exact}?`;
  if (key.startsWith("X-")) {
    const message = `Unknown option "${key}" of unit "${shown}" is ignored`;
    warnings.push(new Problem("unit-unknown-option", message, { hint, at }));
  } else {
    const message = `Cannot take the unknown option "${key}" of unit "${shown}"`;
    problems.push(new Problem("unit-unknown-option", message, { hint, at }));
  }
}

function refuse(
  { key, value, at }: Setting,
  { reading, item = value, fix }: { readonly reading: Reading; readonly item?: string; readonly fix: string },
): void {
  const message = `Cannot take ${key}=${shorten(item)} of unit "${reading.shown}"`;
  reading.problems.push(new Problem("unit-option-value", message, { hint: fix, at }));
}

function showItem({ text, setting }: Item): string {
  return `${setting.key}=${shorten(text)}`;
}

function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}

/** All items of an option, in the order of its names and then of the text. */
function itemsOf(option: Option, reading: Reading): readonly Item[] {
  const settings = reading.settings.get(option);
  if (settings === undefined) return [];
  const items: Item[] = [];
  for (const key of optionNames[option]) {
    for (const setting of settings) if (setting.key === key) readSetting(setting, { reading, items });
  }
  return items;
}

function readSetting(setting: Setting, { reading, items }: { reading: Reading; items: Item[] }): void {
  const read = readItems(setting.value);
  if ("fix" in read) {
    refuse(setting, { reading, fix: read.fix });
    return;
  }
  for (const item of read.value) {
    const expanded = (isAmount(setting) ? expandAmount : expandSpecifiers)(item, reading.name);
    if ("value" in expanded) items.push({ text: expanded.value, setting });
    else refuse(setting, { reading, item, fix: expanded.fix });
  }
}

function isAmount({ key }: Setting): boolean {
  return key === "MemoryReserve" || key === "CPUReserve";
}

/** The last item of an option that has one value. Every item is read, so that none that is wrong goes unseen. */
function readLast<T>(
  option: Option,
  { reading, read }: { readonly reading: Reading; readonly read: (text: string) => Read<T> },
): T | undefined {
  let last: T | undefined;
  for (const { text, setting } of itemsOf(option, reading)) {
    const found = read(text);
    if ("value" in found) last = found.value;
    else if (!isFilledIn(setting, reading)) refuse(setting, { reading, item: text, fix: found.fix });
  }
  return last;
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
    if (!parsed.ok) refuse(setting, { reading, item: text, fix: peerFix(setting.key, text) });
    else if (isTemplate(parsed.value)) {
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

/** Rules by key and all other tests; an item that fleet dropped, and with it the rule, is refused with the way to write it. */
function readMetadata(reading: Reading): Pick<PlacementOptions, "metadata" | "demands"> {
  const rules = new Map<string, Set<string>>();
  const tests = readTests("MachineMetadata", reading);
  for (const { test, item } of tests) {
    if (test.test !== "equals") continue;
    rules.set(test.key, (rules.get(test.key) ?? new Set()).add(test.value));
    if (!isMetadataKey(test.key)) warnOfKey(item, reading, test.key);
  }
  for (const [one, other] of findContradictions(tests)) {
    const pair = `${showItem(one.item)} and ${showItem(other.item)}`;
    const message = `Cannot take ${pair} together in unit "${reading.shown}"`;
    const { at } = other.item.setting;
    reading.problems.push(new Problem("unit-option-pair", message, { hint: "No machine can satisfy both", at }));
  }
  const demands = tests.map(({ test }) => test).filter(({ test }) => test !== "equals");
  return {
    metadata: [...rules].sort(([a], [b]) => byName(a, b)).map(([key, values]) => ({ key, values: [...values] })),
    ...(demands.length === 0 ? {} : { demands }),
  };
}

/** Such a key has always been taken. */
function warnOfKey({ text, setting }: Item, { shown, warnings }: Reading, key: string): void {
  const message = `No machine can have the metadata key "${shorten(key)}" that unit "${shown}" asks for`;
  const hint = quotedTests(text, setting.key) ?? itemFix(text);
  warnings.push(new Problem("unit-option-unmatched", message, { hint, at: setting.at }));
}

interface WrittenTest {
  readonly test: MetadataTest;
  readonly item: Item;
}

/** In the order of the text, each once. */
function readTests(option: "MachineMetadata" | "Prefer" | "Avoid", reading: Reading): readonly WrittenTest[] {
  const found = new Map<string, WrittenTest>();
  for (const item of itemsOf(option, reading)) {
    const { text, setting } = item;
    const read = readMetadataTest(text);
    if ("fix" in read) {
      if (isFilledIn(setting, reading)) continue;
      refuse(setting, { reading, item: text, fix: quotedTests(text, setting.key) ?? read.fix });
    } else if (option !== "MachineMetadata" && !isMetadataKey(read.value.key)) {
      refuse(setting, { reading, item: text, fix: quotedTests(text, setting.key) ?? itemFix(text) });
    } else {
      const key = identity(read.value);
      if (!found.has(key)) found.set(key, { test: read.value, item });
    }
  }
  return [...found.values()];
}

function identity(test: MetadataTest): string {
  return JSON.stringify([test.key, test.test, "value" in test ? test.value : null]);
}

/** Whether what cannot be read is a template's, and of its sample instance's name rather than of its author. */
function isFilledIn({ value }: Setting, { shown }: Reading): boolean {
  return isTemplate(shown) && hasSpecifiers(value);
}

/** What is not reserved in so many words is what the unit is limited to. */
function readReserves(reading: Reading, texts: readonly UnitFile[]): Pick<PlacementOptions, "memory" | "milliCpus"> {
  const asked = readLast("MemoryReserve", { reading, read: readMemory });
  const memory = asked ?? ownMemory(reading.name, texts) ?? "none";
  const milliCpus =
    readLast("CPUReserve", { reading, read: readProcessors }) ?? ownProcessors(reading.name, texts) ?? 0;
  return { ...(memory === "none" ? {} : { memory }), ...(milliCpus === 0 ? {} : { milliCpus }) };
}

/** One key; a second one would not add to it. */
function readSpread(reading: Reading): Pick<PlacementOptions, "spread"> {
  const { shown, name, warnings } = reading;
  let first: Item | undefined;
  for (const item of itemsOf("Spread", reading)) {
    const { text, setting } = item;
    if (!isMetadataKey(text)) refuse(setting, { reading, item: text, fix: spreadFix(text) });
    else if (first === undefined) first = item;
    else if (first.text !== text) {
      const fix = `One key only; an empty Spread= before it takes back "${first.text}"`;
      refuse(setting, { reading, item: text, fix });
    }
  }
  if (first === undefined) return {};
  if (!isInstance(name) && !isTemplate(shown)) {
    const message = `Unit "${shown}" is no instance: Spread=${first.text} spreads nothing`;
    const hint = `It only asks for a machine that has the key, as MachineMetadata=${first.text} does`;
    warnings.push(new Problem("unit-option-unused", message, { hint, at: first.setting.at }));
  }
  return { spread: first.text };
}

function spreadFix(text: string): string {
  const key = text.slice(0, Math.max(0, text.indexOf("="))).trim();
  if (isMetadataKey(key)) return `Name the key alone: Spread=${key}`;
  return "Name one metadata key: 1 to 128 letters, digits and _./:-";
}

function readPreferences(reading: Reading): Pick<PlacementOptions, "prefer" | "avoid"> {
  const prefer = readTests("Prefer", reading);
  const avoid = readTests("Avoid", reading);
  const preferred = new Map(prefer.map((each) => [identity(each.test), each]));
  for (const { test, item } of avoid) {
    const same = preferred.get(identity(test));
    if (same === undefined) continue;
    const pair = `${showItem(same.item)} and ${showItem(item)}`;
    const message = `Cannot take ${pair} together in unit "${reading.shown}"`;
    const { at } = item.setting;
    reading.problems.push(new Problem("unit-option-pair", message, { hint: "Remove one of the two", at }));
  }
  return {
    ...(prefer.length === 0 ? {} : { prefer: prefer.map(({ test }) => test) }),
    ...(avoid.length === 0 ? {} : { avoid: avoid.map(({ test }) => test) }),
  };
}

function readPriority(reading: Reading): Pick<PlacementOptions, "priority"> {
  const priority = readLast("Priority", { reading, read: (text) => readWhole(text, priorityBounds) }) ?? 0;
  return priority === 0 ? {} : { priority };
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
      if (/[*?[\\]/.test(pattern) || parseUnitName(pattern).ok) continue;
      const message = `${setting.key}=${pattern} of unit "${reading.shown}" matches no unit`;
      const hint = "Patterns are compared with whole names, type and all";
      reading.warnings.push(new Problem("unit-option-unmatched", message, { hint, at: setting.at }));
    }
  }
  return [...patterns];
}

function checkPairs(placement: PlacementOptions, { shown, settings, problems }: Reading): void {
  const asked: Readonly<Record<(typeof forbiddenPairs)[number][number], boolean>> = {
    MachineID: placement.machineId !== undefined,
    MachineOf: placement.machineOf.length > 0,
    Conflicts: placement.conflicts.length > 0,
    Replaces: placement.replaces.length > 0,
    Global: placement.global,
    Spread: placement.spread !== undefined,
    Prefer: placement.prefer !== undefined,
    Avoid: placement.avoid !== undefined,
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
  return sample.ok ? sample.value : template; // a template of 255 bytes has no room for an instance
}

function oneOf<T extends string>(words: readonly T[], text: string): Read<T> {
  const word = words.find((each) => each === text);
  if (word !== undefined) return { value: word };
  const meant = suggest(text, words);
  return { fix: `Write one of ${words.join(" ")}${meant === undefined ? "" : `; did you mean ${meant}?`}` };
}

/** How to write several tests that stand in one item. */
function quotedTests(item: string, key: string): string | undefined {
  if (!/\s/.test(item)) return undefined;
  const reads = item.split(/\s+/).map((word) => readMetadataTest(word));
  const areTests = reads.every((read) => "value" in read && isMetadataKey(read.value.key));
  return areTests ? `Quote each item: ${key}=${quoteWords(item)}` : undefined;
}

function quoteWords(text: string): string {
  return text
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => `"${word}"`)
    .join(" ");
}
