// User-data as typed values with their places: what shape.ts makes of YAML and the builders read.
import type { Place } from "../domain/problem.ts";

export interface TextValue {
  readonly kind: "text";
  /** As written, address tokens and all. */
  readonly text: string;
  /** Whether it stands without quotes, so that `yes` and `false` may be words. */
  readonly isPlain: boolean;
  readonly isBinary: boolean;
  readonly at: Place;
  /** Place of the first line of a literal block, so that line N of the text is N - 1 below; else undefined. */
  readonly firstLine: Place | undefined;
}

export interface BooleanValue {
  readonly kind: "boolean";
  readonly value: boolean;
  readonly at: Place;
}

export interface NumberValue {
  readonly kind: "number";
  readonly value: number;
  /** As written. */
  readonly text: string;
  readonly at: Place;
}

export interface NullValue {
  readonly kind: "null";
  readonly at: Place;
}

export interface ListValue {
  readonly kind: "list";
  readonly items: readonly Value[];
  readonly at: Place;
}

export interface MapEntry {
  readonly value: Value;
  /** Of the key. */
  readonly at: Place;
}

export interface MapValue {
  readonly kind: "map";
  readonly entries: ReadonlyMap<string, MapEntry>;
  readonly at: Place;
}

export type Value = TextValue | BooleanValue | NumberValue | NullValue | ListValue | MapValue;

export function emptyMap(at: Place): MapValue {
  return { kind: "map", entries: new Map(), at };
}

/** YAML 1.1's words for yes and no, as C's reader took them; undefined for others. */
export function yesOrNo(text: string): boolean | undefined {
  if (/^(y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/.test(text)) return true;
  if (/^(n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/.test(text)) return false;
  return undefined;
}

export function pathOf(parent: string, key: string): string {
  return parent === "" ? key : `${parent}.${key}`;
}
