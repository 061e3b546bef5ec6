// What a unit asks of a machine beyond names: metadata, memory, processors, spreading, preferences, and its priority
// (docs/placement.md). Given to options.ts. What is not asked for is left out.
import { byName, isInstance, isTemplate } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import { type MetadataTest, type PlacementOptions, priorityBounds } from "../domain/unit.ts";
import type { UnitFile } from "../text/unit-file.ts";
import { findContradictions, isMetadataKey, itemFix, maxRewritten, readMetadataTest } from "./metadata-tests.ts";
import {
  type Item,
  type Reading,
  isFilledIn,
  itemsOf,
  quoteWords,
  readLast,
  refuse,
  shorten,
  showItem,
} from "./option-reading.ts";
import { readWhole } from "./option-values.ts";
import { ownMemory, ownProcessors, readMemory, readProcessors } from "./reserves.ts";

/** Rules by key and all other tests; an item that fleet dropped, and with it the rule, is refused with the way to write it. */
export function readMetadata(reading: Reading): Pick<PlacementOptions, "metadata" | "demands"> {
  const rules = new Map<string, Set<string>>();
  const tests = readTests("MachineMetadata", reading);
  for (const written of tests) {
    const { test } = written;
    if (test.test !== "equals") continue;
    rules.set(test.key, (rules.get(test.key) ?? new Set()).add(test.value));
    if (!isMetadataKey(test.key)) warnOfKey(written, reading);
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
function warnOfKey({ test, item: { text, setting } }: WrittenTest, { shown, warnings }: Reading): void {
  const message = `No machine can have the metadata key "${shorten(test.key)}" that unit "${shown}" asks for`;
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

/** What is not reserved in so many words is what the unit is limited to. */
export function readReserves(
  reading: Reading,
  texts: readonly UnitFile[],
): Pick<PlacementOptions, "memory" | "milliCpus"> {
  const asked = readLast("MemoryReserve", { reading, read: readMemory });
  const memory = asked ?? ownMemory(reading.name, texts) ?? "none";
  const milliCpus =
    readLast("CPUReserve", { reading, read: readProcessors }) ?? ownProcessors(reading.name, texts) ?? 0;
  return { ...(memory === "none" ? {} : { memory }), ...(milliCpus === 0 ? {} : { milliCpus }) };
}

/** One key; a second one would not add to it. */
export function readSpread(reading: Reading): Pick<PlacementOptions, "spread"> {
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

export function readPreferences(reading: Reading): Pick<PlacementOptions, "prefer" | "avoid"> {
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

export function readPriority(reading: Reading): Pick<PlacementOptions, "priority"> {
  const priority = readLast("Priority", { reading, read: (text) => readWhole(text, priorityBounds) }) ?? 0;
  return priority === 0 ? {} : { priority };
}

/** How to write several tests that stand in one item. */
function quotedTests(item: string, key: string): string | undefined {
  if (item.length > maxRewritten || !/\s/.test(item)) return undefined;
  const reads = item.split(/\s+/).map((word) => readMetadataTest(word));
  const areTests = reads.every((read) => "value" in read && isMetadataKey(read.value.key));
  return areTests ? `Quote each item: ${key}=${quoteWords(item)}` : undefined;
}
