// Texts that are ours only in part: lines between two marks, and NAME=value lines. Pure; given to the files of this folder.
// A text of a file has one character for each byte here (latin1): nobody says in which encoding the lines of others are.

/** Lines of ours, in UTF-8, as they stand in such a text. */
export function written(lines: readonly string[]): readonly string[] {
  return lines.map((line) => Buffer.from(line).toString("latin1"));
}

/** Such a text for people: what is no UTF-8 in it is shown as U+FFFD. */
export function readable(text: string): string {
  return bytesOf(text).toString("utf8");
}

/** What the file holds that has such a text. */
export function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** The lines of a block of ours in `text`; undefined: it has none. */
export function blockOf(text: string, name: string): readonly string[] | undefined {
  const lines = text.split("\n");
  const span = spanOf(lines, name);
  return span === undefined ? undefined : lines.slice(span.first + 1, span.hasEnd ? span.last : span.last + 1);
}

/**
 * `text` with the block set to `lines`; without lines the block is taken away. It stays where it stands, and comes to the
 * end when it is new; all other lines stay as they are. An opening mark without its end (an edit of somebody's) is a block
 * without lines: what follows it may be theirs.
 */
export function withBlock(text: string, name: string, lines: readonly string[]): string {
  const all = text.split("\n");
  const span = spanOf(all, name);
  const block = lines.length === 0 ? [] : [markOf("begin", name), ...lines, markOf("end", name)];
  if (span !== undefined) return [...all.slice(0, span.first), ...block, ...all.slice(span.last + 1)].join("\n");
  if (block.length === 0) return text;
  return `${ended(text)}${block.join("\n")}\n`;
}

function spanOf(
  lines: readonly string[],
  name: string,
): { readonly first: number; readonly last: number; readonly hasEnd: boolean } | undefined {
  const first = lines.findIndex((line) => line.trimEnd() === markOf("begin", name));
  if (first < 0) return undefined;
  const length = lines.slice(first + 1).findIndex((line) => line.trimEnd() === markOf("end", name));
  return length < 0 ? { first, last: first, hasEnd: false } : { first, last: first + 1 + length, hasEnd: true };
}

function markOf(side: "begin" | "end", name: string): string {
  return `# ${side} ${name} (written by flotilla, do not edit)`;
}

/**
 * `text` with each NAME set to its value: in the line that has it, the last of several being the one that counts for
 * readers and so the one that is kept; at the end, in the order given, when there is none. Other lines stay.
 */
export function withVariables(text: string, values: Readonly<Record<string, string>>): string {
  const names = new Set<string>();
  const kept = text
    .split("\n")
    .reverse()
    .flatMap((line) => {
      const name = nameOf(line);
      if (name === undefined || !Object.hasOwn(values, name)) return [line];
      if (names.has(name)) return [];
      names.add(name);
      return [`${name}=${values[name] ?? ""}`];
    })
    .reverse()
    .join("\n");
  const fresh = Object.entries(values).filter(([name]) => !names.has(name));
  if (fresh.length === 0) return kept;
  return `${ended(kept)}${fresh.map(([name, value]) => `${name}=${value}\n`).join("")}`;
}

/** Lines of `text` that set one of `names`. */
export function variableLines(text: string, names: Iterable<string>): readonly string[] {
  const wanted = new Set(names);
  return text.split("\n").filter((line) => wanted.has(nameOf(line) ?? ""));
}

function nameOf(line: string): string | undefined {
  return /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=/.exec(line)?.[1];
}

function ended(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}
