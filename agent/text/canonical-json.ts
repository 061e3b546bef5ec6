// JSON with one text for one value: keys in code-unit order, no blanks. Given to whoever compares or stores values as
// text, so that an unchanged value is an unchanged text. Writes only plain data.

/** Deeper nesting is refused: it would be a cycle or a mistake. */
const maxDepth = 64;

/**
 * The one text of `value`. Keys whose value is undefined are left out, as JSON.stringify does. Throws TypeError for what
 * JSON cannot carry (functions, bigints, NaN and infinities, undefined in lists, cycles): those are mistakes of the caller.
 */
export function canonicalJson(value: unknown): string {
  return textOf(value, 0);
}

/** Whether `canonicalJson` takes what JSON.parse has read: "1e400" is an infinity to it, and any depth is read. */
export function canBeWritten(value: unknown, depth = 0): boolean {
  if (depth > maxDepth) return false;
  if (typeof value === "number") return Number.isFinite(value);
  if (typeof value !== "object" || value === null) return true;
  return Object.values(value).every((member) => canBeWritten(member, depth + 1));
}

function textOf(value: unknown, depth: number): string {
  if (depth > maxDepth) throw new TypeError(`Cannot write JSON nested more than ${maxDepth} deep`);
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isFinite(value)) throw new TypeError(`Cannot write ${value} as JSON`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map((item) => textOf(item, depth + 1)).join(",")}]`;
  if (typeof value !== "object") throw new TypeError(`Cannot write a ${typeof value} as JSON`);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${textOf(member, depth + 1)}`);
  return `{${members.join(",")}}`;
}
