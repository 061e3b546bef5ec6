// What is shown of a soak and of a matrix: tables for people and for docs/faults.md.
import type { MatrixRow } from "./matrix.ts";
import type { SoakCount } from "./soak.ts";

/** Markdown, one row a fault. */
export function matrixTable(rows: readonly MatrixRow[]): string {
  const lines = rows.map(({ fault, asserts, outcome, violations }) => {
    const cells = [outcome?.noticedMs, outcome?.elsewhereMs, outcome?.healedMs].map(seconds);
    const verdict = outcome === undefined ? "not done" : violations === 0 ? "holds" : `${violations} violations`;
    return [fault, asserts, outcome?.on ?? "–", ...cells, verdict];
  });
  return markdown(["fault", "asserted", "done to", "noticed", "elsewhere, again", "healed", "outcome"], lines);
}

export function soakTable({ faults }: SoakCount): string {
  const lines = [...faults].sort().map(([name, outcomes]) => {
    const healed = outcomes.map(({ healedMs }) => healedMs).sort((a, b) => a - b);
    return [name, String(outcomes.length), seconds(healed[Math.floor(healed.length / 2)]), seconds(healed.at(-1))];
  });
  return markdown(["fault", "times", "healed, median", "at most"], lines);
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? "–" : `${(ms / 1000).toFixed(1)} s`;
}

function markdown(head: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = head.map((title, at) => Math.max(title.length, ...lines.map((line) => line[at]?.length ?? 0)));
  const row = (cells: readonly string[]): string =>
    `| ${cells.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  return [row(head), row(widths.map((width) => "-".repeat(width))), ...lines.map(row)].join("\n");
}
