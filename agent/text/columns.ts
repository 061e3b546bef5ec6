// Tables as fleet printed them: cells separated by tabs, so that `cut`, `awk` and old scripts go on working.
// Given to the commands; pure. Colour is added around the text and never counts as width.
import { displayWidth, tabWidth, visible } from "./width.ts";

/** What a cell's value means to a reader; printed as a colour on a terminal. */
export type Tone = "good" | "bad" | "busy" | "faint";

export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
}

export interface Table {
  /** One for each column; printed in upper case. */
  readonly legend: readonly string[];
  /** Every row has one cell for each column. */
  readonly rows: readonly (readonly Cell[])[];
}

export interface TableStyle {
  readonly legend: boolean;
  readonly colour: boolean;
}

/**
 * Each column but the last is filled with tabs to the next multiple of 8 that is larger than its longest cell (the
 * legend's among them, when there is one). Ends with a newline; "" when there is nothing to print.
 */
export function formatTable(table: Table, style: TableStyle): string {
  const legend = table.legend.map((name): Cell => ({ text: name.toUpperCase() }));
  // Each cell is looked at once: a table may have tens of thousands
  const rows = (style.legend ? [legend, ...table.rows] : table.rows).map((row) =>
    row.map((cell) => shown(cell, style)),
  );
  const widths = table.legend.map((_, column) => {
    const longest = rows.reduce((most, row) => Math.max(most, row[column]?.width ?? 0), 0);
    return (Math.floor(longest / tabWidth) + 1) * tabWidth;
  });
  const last = table.legend.length - 1;
  return rows
    .map((row) =>
      row
        .map(({ text, width }, column) =>
          column === last ? text : text + "\t".repeat(Math.ceil(((widths[column] ?? 0) - width) / tabWidth)),
        )
        .join("")
        .concat("\n"),
    )
    .join("");
}

/** A cell as it is printed, and how many columns of a terminal it takes. */
function shown({ text, tone }: Cell, { colour }: TableStyle): { readonly text: string; readonly width: number } {
  const plain = visible(text);
  return { text: colour ? paint(plain, tone) : plain, width: displayWidth(plain) };
}

// Select Graphic Rendition (ECMA-48 8.3.117)
const renditions: Readonly<Record<Tone, string>> = { good: "32", bad: "31", busy: "33", faint: "2" };

/** `text` in its tone's colour; as it is when it has none. */
export function paint(text: string, tone: Tone | undefined): string {
  return tone === undefined || text === "" ? text : `\u001b[${renditions[tone]}m${text}\u001b[0m`;
}
