// One unit's [X-Fleet] while it is read: which options it knows, the settings that count, their items and what is refused.
// Given to options.ts and placement-options.ts, which know what the options mean.
import { type UnitName, isTemplate } from "../domain/names.ts";
import { type Place, Problem } from "../domain/problem.ts";
import { suggest } from "../text/suggest.ts";
import { type Read, expandAmount, expandPattern, expandSpecifiers, hasSpecifiers, readItems } from "./option-values.ts";

export type Option =
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
  | "OnChange"
  | "OnPartition";

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
  OnPartition: ["OnPartition"],
};
const options = Object.keys(optionNames) as readonly Option[];
const optionByName: ReadonlyMap<string, Option> = new Map(
  options.flatMap((option) => optionNames[option].map((name) => [name, option] as const)),
);
const installOptions: readonly string[] = ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also", "DefaultInstance"];

/** Whether an assignment of this name is one that flotilla knows, under any of its names. */
export function isKnownOption(name: string): boolean {
  return optionByName.has(name);
}

/** An assignment that counts, with its place. */
export interface Setting {
  readonly key: string;
  readonly value: string;
  readonly at: Place;
}

/** One item of a setting, specifiers expanded. */
export interface Item {
  readonly text: string;
  readonly setting: Setting;
}

/** One unit being read. */
export interface Reading {
  /** As its author knows it. */
  readonly shown: UnitName;
  /** For specifiers. */
  readonly name: UnitName;
  readonly settings: ReadonlyMap<Option, readonly Setting[]>;
  readonly problems: Problem[];
  readonly warnings: Problem[];
}

/** Puts a setting to its option; an empty one resets the option under all its names. */
export function collect(setting: Setting, settings: Map<Option, Setting[]>, reading: Reading): void {
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

/** Says that a setting, or one item of it, cannot be taken; `fix` says what its author can do. */
export function refuse(
  { key, value, at }: Setting,
  { reading, item = value, fix }: { readonly reading: Reading; readonly item?: string; readonly fix: string },
): void {
  const message = `Cannot take ${key}=${shorten(item)} of unit "${reading.shown}"`;
  reading.problems.push(new Problem("unit-option-value", message, { hint: fix, at }));
}

/** As it was written, for problems. */
export function showItem({ text, setting }: Item): string {
  return `${setting.key}=${shorten(text)}`;
}

export function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}

/** All items of an option, in the order of its names and then of the text. */
export function itemsOf(option: Option, reading: Reading): readonly Item[] {
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
  const expand = expanderOf(setting);
  for (const item of read.value) {
    const expanded = expand(item, reading.name);
    if ("value" in expanded) items.push({ text: expanded.value, setting });
    else refuse(setting, { reading, item, fix: expanded.fix });
  }
}

function expanderOf({ key }: Setting): (text: string, name: UnitName) => Read<string> {
  const option = optionByName.get(key);
  if (option === "MemoryReserve" || option === "CPUReserve") return expandAmount;
  return option === "Conflicts" || option === "Replaces" ? expandPattern : expandSpecifiers;
}

/** The last item of an option that has one value. Every item is read, so that none that is wrong goes unseen. */
export function readLast<T>(
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

/** Whether what cannot be read is a template's, and of its sample instance's name rather than of its author. */
export function isFilledIn({ value }: Setting, { shown }: Reading): boolean {
  return isTemplate(shown) && hasSpecifiers(value);
}

/** Each word in quotes of its own. */
export function quoteWords(text: string): string {
  return text
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word) => `"${word}"`)
    .join(" ");
}
