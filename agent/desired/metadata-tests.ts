// The syntax of MachineMetadata=, Prefer= and Avoid=: one comparison with a machine's metadata an item, and which of them
// no machine can meet at once. Given to options.ts. Pure.
import type { MetadataTest } from "../domain/unit.ts";
import { parseDecimal } from "../text/decimal.ts";
import type { Read } from "./option-values.ts";

/** What metadata keys of machines consist of; no machine has another. */
export function isMetadataKey(key: string): boolean {
  return /^[A-Za-z0-9_./:-]{1,128}$/.test(key);
}

/** Characters of an item that a hint writes anew. */
export const maxRewritten = 300;

const comparisons = { "<": "below", "<=": "at-most", ">": "above", ">=": "at-least" } as const;

/**
 * `key=value`, `key!=value`, `key<5` and its like, `key`, `!key`; the first operator decides. The key of `key=value` may
 * be any text, as it always might: see `isMetadataKey`. All others are checked.
 */
export function readMetadataTest(item: string): Read<MetadataTest> {
  const found = /!=|<=|>=|[=<>]/.exec(item);
  if (found === null) {
    const isMissing = item.startsWith("!");
    const key = isMissing ? item.slice(1) : item;
    return isMetadataKey(key) ? { value: { key, test: isMissing ? "missing" : "exists" } } : { fix: itemFix(item) };
  }
  const operator = found[0];
  const key = item.slice(0, found.index);
  const asked = item.slice(found.index + operator.length);
  if (operator === "=" || operator === "!=") {
    const isEqual = operator === "=";
    if (key === "" || asked === "" || asked.includes("=")) return { fix: itemFix(item) };
    if (!isEqual && !isMetadataKey(key)) return { fix: itemFix(item) };
    return { value: { key, test: isEqual ? "equals" : "differs", value: asked } };
  }
  const value = parseDecimal(asked);
  if (!isMetadataKey(key) || value === undefined) return { fix: itemFix(item) };
  return { value: { key, test: comparisons[operator as keyof typeof comparisons], value } };
}

/** What its author most likely meant by an item that says something else or nothing. */
export function itemFix(item: string): string {
  const found = /!=|<=|>=|[=<>]/.exec(item);
  if (found === null) return `An item is key=value or another comparison, key alone, or !key${keyRule(item)}`;
  const operator = found[0];
  const key = item.slice(0, found.index);
  const asked = item.slice(found.index + operator.length);
  const closed = `${key.trim()}${operator}${asked.trim()}`;
  if (closed !== item && closed !== operator && isSound(closed)) return `Write it without blanks: ${closed}`;
  if (operator === "=" && /^!./.test(key) && isSound(`${key.slice(1)}!=${asked}`)) {
    return `Write ${key.slice(1)}!=${asked} for "any other value, or none"`;
  }
  if (asked.startsWith("=") && isSound(`${key}${operator}${asked.slice(1)}`)) {
    return `Write ${key}${operator}${asked.slice(1)}`;
  }
  if (operator === "=" || operator === "!=") {
    const shape = `An item is key${operator}value with one "=" and something on both sides`;
    return asked.includes("=") ? `${shape}; quote each of several items` : `${shape}${keyRule(key)}`;
  }
  if (key === "") return `Write the key before the "${operator}"`;
  if (!isMetadataKey(key)) return `Write one key before the "${operator}"${keyRule(key)}`;
  return `Write a decimal number after the "${operator}", as in ${key}${operator}5`;
}

function keyRule(text: string): string {
  const key = text.startsWith("!") ? text.slice(1) : text;
  return key === "" || isMetadataKey(key) ? "" : "; keys are 1 to 128 letters, digits and _./:-";
}

/** Whether it is worth a hint. */
function isSound(item: string): boolean {
  if (item.length > maxRewritten) return false;
  const read = readMetadataTest(item);
  return "value" in read && isMetadataKey(read.value.key);
}

/**
 * Two items for each key that can never be satisfied. Several "equals" of one key are satisfied by any of them, all else
 * must hold together.
 */
export function findContradictions<T extends { readonly test: MetadataTest }>(
  items: readonly T[],
): readonly (readonly [T, T])[] {
  const byKey = new Map<string, T[]>();
  for (const item of items) {
    const same = byKey.get(item.test.key);
    if (same === undefined) byKey.set(item.test.key, [item]);
    else same.push(item);
  }
  return [...byKey.values()].flatMap((same) => {
    const pair = same.length < 2 ? undefined : contradictionAmong(same);
    return pair === undefined ? [] : [pair];
  });
}

/** In the order of `items`, which all have one key. */
function contradictionAmong<T extends { readonly test: MetadataTest }>(
  items: readonly T[],
): readonly [T, T] | undefined {
  const pair = absence(items) ?? emptyRange(items) ?? impossibleValue(items);
  if (pair === undefined) return undefined;
  const [one, other] = pair;
  return items.indexOf(one) < items.indexOf(other) ? [one, other] : [other, one];
}

type Pair<T> = readonly [T, T] | undefined;

function absence<T extends { readonly test: MetadataTest }>(items: readonly T[]): Pair<T> {
  const missing = items.find(({ test: { test } }) => test === "missing");
  const needing = items.find(({ test: { test } }) => test !== "missing" && test !== "differs");
  return missing === undefined || needing === undefined ? undefined : [missing, needing];
}

/** A limit of a range: the number, and whether the number itself is out of it. */
interface Bound<T> {
  readonly item: T;
  readonly value: number;
  readonly isOpen: boolean;
}

interface Range<T> {
  readonly low: Bound<T> | undefined;
  readonly high: Bound<T> | undefined;
}

function rangeOf<T extends { readonly test: MetadataTest }>(items: readonly T[]): Range<T> {
  let low: Bound<T> | undefined;
  let high: Bound<T> | undefined;
  for (const item of items) {
    const { test } = item;
    if (test.test === "above" || test.test === "at-least") {
      const bound = { item, value: test.value, isOpen: test.test === "above" };
      if (low === undefined || bound.value > low.value || (bound.value === low.value && bound.isOpen)) low = bound;
    } else if (test.test === "below" || test.test === "at-most") {
      const bound = { item, value: test.value, isOpen: test.test === "below" };
      if (high === undefined || bound.value < high.value || (bound.value === high.value && bound.isOpen)) high = bound;
    }
  }
  return { low, high };
}

function emptyRange<T extends { readonly test: MetadataTest }>(items: readonly T[]): Pair<T> {
  const { low, high } = rangeOf(items);
  if (low === undefined || high === undefined) return undefined;
  const isEmpty = isShort(high.value, low) || isBeyond(low.value, high);
  return isEmpty ? [low.item, high.item] : undefined;
}

/** When each value that was named is ruled out: the last of them, and what rules it out. */
function impossibleValue<T extends { readonly test: MetadataTest }>(items: readonly T[]): Pair<T> {
  const { low, high } = rangeOf(items);
  const differing = new Map<string, T>();
  for (const item of items) if (item.test.test === "differs") differing.set(item.test.value, item);
  let pair: Pair<T>;
  for (const item of items) {
    if (item.test.test !== "equals") continue;
    const value = parseDecimal(item.test.value);
    const rival =
      differing.get(item.test.value) ??
      (isShort(value, low) ? low?.item : undefined) ??
      (isBeyond(value, high) ? high?.item : undefined);
    if (rival === undefined) return undefined;
    pair = [item, rival];
  }
  return pair;
}

function isShort<T>(value: number | undefined, low: Bound<T> | undefined): boolean {
  if (low === undefined) return false;
  return value === undefined || value < low.value || (low.isOpen && value === low.value);
}

function isBeyond<T>(value: number | undefined, high: Bound<T> | undefined): boolean {
  if (high === undefined) return false;
  return value === undefined || value > high.value || (high.isOpen && value === high.value);
}
