// Two texts as a unified diff: which lines went, which came, with a few around them. Pure, bounded in time and memory.

/** Unchanged lines that are shown around a change. */
const contextLines = 3;
/** Larger texts are shown as replaced: a table of all pairs of lines would be too large. */
const maxPairs = 1_000_000;

interface Edit {
  readonly sign: " " | "-" | "+";
  readonly line: string;
}

/** Hunks with their headers; empty when the texts are equal. */
export function diffLines(before: string, after: string): readonly string[] {
  if (before === after) return [];
  return hunks(edits(linesOf(before), linesOf(after)));
}

function linesOf(text: string): readonly string[] {
  if (text === "") return [];
  const lines = text.split("\n");
  const isEnded = lines.at(-1) === "";
  return isEnded ? lines.slice(0, -1) : [...lines.slice(0, -1), `${lines.at(-1) ?? ""}\n\\ No newline at end of file`];
}

function edits(old: readonly string[], now: readonly string[]): readonly Edit[] {
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head++;
  let tail = 0;
  while (tail < old.length - head && tail < now.length - head && old.at(-1 - tail) === now.at(-1 - tail)) tail++;
  const same = (line: string): Edit => ({ sign: " ", line });
  return [
    ...old.slice(0, head).map(same),
    ...middle(old.slice(head, old.length - tail), now.slice(head, now.length - tail)),
    ...old.slice(old.length - tail).map(same),
  ];
}

/** By the longest common sequence of lines. */
function middle(old: readonly string[], now: readonly string[]): readonly Edit[] {
  const replaced = (): readonly Edit[] => [
    ...old.map((line): Edit => ({ sign: "-", line })),
    ...now.map((line): Edit => ({ sign: "+", line })),
  ];
  if (old.length === 0 || now.length === 0 || old.length * now.length > maxPairs) return replaced();
  const width = now.length + 1;
  const longest = new Uint32Array((old.length + 1) * width);
  const at = (row: number, column: number): number => longest[row * width + column] ?? 0;
  for (let row = old.length - 1; row >= 0; row--)
    for (let column = now.length - 1; column >= 0; column--)
      longest[row * width + column] =
        old[row] === now[column] ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1));
  const found: Edit[] = [];
  let row = 0;
  let column = 0;
  while (row < old.length || column < now.length) {
    if (row < old.length && column < now.length && old[row] === now[column]) {
      found.push({ sign: " ", line: old[row++] ?? "" });
      column++;
    } else if (row < old.length && (column === now.length || at(row + 1, column) >= at(row, column + 1)))
      found.push({ sign: "-", line: old[row++] ?? "" });
    else found.push({ sign: "+", line: now[column++] ?? "" });
  }
  return found;
}

function hunks(all: readonly Edit[]): readonly string[] {
  const shown = all.map((_, at) =>
    all.slice(Math.max(0, at - contextLines), at + contextLines + 1).some(({ sign }) => sign !== " "),
  );
  const lines: string[] = [];
  let [oldLine, newLine] = [1, 1];
  for (let at = 0; at < all.length;) {
    let end = at;
    while (end < all.length && shown[end] === shown[at]) end++;
    const part = all.slice(at, end);
    const oldCount = part.filter(({ sign }) => sign !== "+").length;
    const newCount = part.filter(({ sign }) => sign !== "-").length;
    if (shown[at] === true) {
      lines.push(`@@ -${range(oldLine, oldCount)} +${range(newLine, newCount)} @@`);
      lines.push(...part.flatMap(({ sign, line }) => `${sign}${line}`.split("\n")));
    }
    oldLine += oldCount;
    newLine += newCount;
    at = end;
  }
  return lines;
}

/** Of no lines the one before them is named. */
function range(first: number, count: number): string {
  return count === 1 ? `${first}` : `${count === 0 ? first - 1 : first},${count}`;
}
