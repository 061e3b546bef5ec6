// One value as its author wrote it -> what it means. Bounds come from the schema of the value; nothing is guessed and
// nothing is repaired silently. Shows no value of a secret.
import type { Option, ValueSchema } from "./options.ts";

/** What a value means, as data of the schema: durations are seconds. Secrets pass as text and are kept apart by kind. */
export type Value = string | number | boolean | readonly string[] | Readonly<Record<string, string>>;

/** The value, or what it must be ("It must be ..." is put before it). */
export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly must: string };

const utf8 = new TextEncoder();

export const maxSecretBytes = 4096;

/** Seconds in each unit of systemd.time(7). */
const secondsIn: Readonly<Record<string, number>> = {
  us: 1e-6,
  usec: 1e-6,
  ms: 1e-3,
  msec: 1e-3,
  s: 1,
  sec: 1,
  second: 1,
  seconds: 1,
  m: 60,
  min: 60,
  minute: 60,
  minutes: 60,
  h: 3600,
  hr: 3600,
  hour: 3600,
  hours: 3600,
  d: 86_400,
  day: 86_400,
  days: 86_400,
  w: 604_800,
  week: 604_800,
  weeks: 604_800,
};

const maxDurationChars = 64;

/** A time span as in systemd.time(7) (`2min 30s`, `500ms`; a plain number is seconds) in seconds; undefined when it is none. */
export function parseDuration(text: string): number | undefined {
  if (text.length > maxDurationChars || text.trim() === "") return undefined;
  // Part by part: one pattern for the whole takes exponential time to see that a row of digits is none
  const part = /\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*/y;
  let total = 0;
  while (part.lastIndex < text.length) {
    const [, amount, unit = ""] = part.exec(text) ?? [];
    const seconds = unit === "" ? 1 : Object.hasOwn(secondsIn, unit) ? secondsIn[unit] : undefined;
    if (amount === undefined || seconds === undefined) return undefined;
    total += Number(amount) * seconds;
  }
  // to the microsecond: 500ms + 0.1s must not become 0.6000000000000001
  return Math.round(total * 1e6) / 1e6;
}

/** Seconds as people write them: 120 -> `2min`, 0.5 -> `500ms`. */
export function formatDuration(seconds: number): string {
  if (seconds !== 0 && seconds < 1) return `${Math.round(seconds * 1e6) / 1e3}ms`;
  if (seconds !== 0 && seconds % 3600 === 0) return `${seconds / 3600}h`;
  if (seconds !== 0 && seconds % 60 === 0) return `${seconds / 60}min`;
  return `${seconds}s`;
}

/** systemd's words for yes and no (systemd.syntax(7)), any case; undefined for anything else. */
export function parseBoolean(text: string): boolean | undefined {
  const word = text.toLowerCase();
  if (["1", "yes", "y", "true", "t", "on"].includes(word)) return true;
  if (["0", "no", "n", "false", "f", "off"].includes(word)) return false;
  return undefined;
}

/** Items of a comma list, blanks around them taken away, empty ones left out. */
export function splitList(text: string): readonly string[] {
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

/** `key=value,key=value`; a value may contain `=`. Says what is wrong with the first bad item. */
export function parseMetadata(text: string): Read<ReadonlyMap<string, string>> {
  const pairs = new Map<string, string>();
  for (const item of splitList(text)) {
    const at = item.indexOf("=");
    if (at < 0) return { ok: false, must: `key=value,key=value, and "${shorten(item)}" has no "="` };
    const key = item.slice(0, at).trim();
    const value = item.slice(at + 1).trim();
    if (key === "__proto__" || !/^[A-Za-z0-9_./:-]{1,128}$/.test(key))
      return {
        ok: false,
        must: `key=value,key=value with keys of 1 to 128 letters, digits and _./:-, and "${shorten(key)}" is none`,
      };
    if (value === "" || value.length > 256 || hasControl(value))
      return {
        ok: false,
        must: `key=value,key=value with values of 1 to 256 characters, and that of "${key}" is none`,
      };
    const before = pairs.get(key);
    if (before !== undefined && before !== value)
      return { ok: false, must: `one value for each key, and "${key}" has two: "${before}" and "${shorten(value)}"` };
    pairs.set(key, value);
  }
  return { ok: true, value: pairs };
}

/** A word of the author's for a message: cut, and with nothing in it that moves a terminal's cursor. */
export function shorten(text: string, most = 80): string {
  const plain = text.replace(/[\p{Cc}\p{Cf}]/gu, "?");
  return plain.length <= most ? plain : `${plain.slice(0, most)}...`;
}

function hasControl(text: string): boolean {
  return /[\p{Cc}]/u.test(text);
}

function bounds({ minimum, maximum }: ValueSchema, format: (bound: number) => string): string {
  if (minimum === undefined || maximum === undefined) return "";
  return ` from ${format(minimum)} to ${format(maximum)}`;
}

function within(value: number, { minimum = -Infinity, maximum = Infinity }: ValueSchema): boolean {
  return value >= minimum && value <= maximum;
}

function readText(option: Option, text: string): Read<string> {
  const { minLength = 0, maxLength = Infinity, pattern } = option.schema;
  const fits =
    text.length >= minLength &&
    text.length <= maxLength &&
    !hasControl(text) &&
    (pattern === undefined || new RegExp(pattern, "u").test(text));
  return fits ? { ok: true, value: text } : { ok: false, must: option.must };
}

/** An absolute path with its `.` parts and double slashes taken out; `..` is refused, because what it means depends on links. */
function readPath(option: Option, text: string): Read<string> {
  const parts = text.split("/");
  if (!text.startsWith("/") || parts.includes("..")) return { ok: false, must: `${option.must}, without ".."` };
  return readText(option, `/${parts.filter((part) => part !== "" && part !== ".").join("/")}`);
}

/** Reads one value of an option by its kind. `text` is trimmed and not empty. */
export function readValue(option: Option, text: string): Read<Value> {
  const { schema, must } = option;
  switch (option.kind) {
    case "text":
      return readText(option, text);
    case "choice":
      return schema.enum?.includes(text) === true ? { ok: true, value: text } : { ok: false, must };
    case "boolean": {
      const value = parseBoolean(text);
      return value === undefined ? { ok: false, must } : { ok: true, value };
    }
    case "count": {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
      return within(value, schema) ? { ok: true, value } : { ok: false, must: `${must}${bounds(schema, String)}` };
    }
    case "duration": {
      const value = parseDuration(text);
      if (value !== undefined && within(value, schema)) return { ok: true, value };
      return { ok: false, must: `${must} such as 30s or 2min${bounds(schema, formatDuration)}` };
    }
    case "list": {
      const value = splitList(text);
      return value.length <= (schema.maxItems ?? Infinity)
        ? { ok: true, value }
        : { ok: false, must: `at most ${schema.maxItems ?? 0} items` };
    }
    case "map": {
      const read = parseMetadata(text);
      return read.ok ? { ok: true, value: Object.fromEntries(read.value) } : read;
    }
    case "path":
    case "secret-file":
      return readPath(option, text);
    case "secret":
      return utf8.encode(text).length <= maxSecretBytes && !hasControl(text)
        ? { ok: true, value: text }
        : { ok: false, must };
  }
}
