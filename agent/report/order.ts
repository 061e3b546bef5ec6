// The order of a listing's rows: as the reports have them, or by columns that were asked for. Inner part of report/.
import { byName } from "../domain/names.ts";
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import { suggest } from "../text/suggest.ts";
import type { Field, FieldTable, TextOptions } from "./fields.ts";

export interface SortKey {
  /** A name of the field table. */
  readonly field: string;
  readonly descending: boolean;
}

/** `active,-restarts` as keys, the first one the weightiest; "-" turns one around. Problem "field-unknown". */
export function checkSort<Row>(fields: FieldTable<Row>, text: string): Checked<readonly SortKey[]> {
  const keys = text
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "")
    .map((word) => ({ field: word.replace(/^-/, ""), descending: word.startsWith("-") }));
  const known = Object.keys(fields.all);
  const hint = `Fields are ${known.join(", ")}; a "-" before one turns the order around`;
  if (keys.length === 0) return invalid(new Problem("fields-empty", "Cannot sort by nothing", { hint }));
  const unknown = keys.filter(({ field }) => !Object.hasOwn(fields.all, field));
  if (unknown.length === 0) return valid(keys);
  return invalid(
    ...unknown.map(({ field }) => {
      const near = suggest(field, known);
      return new Problem("field-unknown", `Cannot sort by "${field.slice(0, 64)}"`, {
        hint: near === undefined ? hint : `Did you mean ${near}? ${hint}`,
      });
    }),
  );
}

/** Rows that are equal in every key stay in their order; what is not known of a row comes last either way round. */
export function sortRows<Row>(
  fields: FieldTable<Row>,
  given: { readonly rows: readonly Row[]; readonly keys: readonly SortKey[] } & TextOptions,
): readonly Row[] {
  const columns = given.keys.flatMap(({ field, descending }) => {
    const known = fields.all[field];
    return known === undefined ? [] : [{ field: known, sign: descending ? -1 : 1 }];
  });
  if (columns.length === 0) return given.rows;
  const weighed = given.rows.map((row) => ({ row, weights: columns.map(({ field }) => weigh(field, row, given)) }));
  weighed.sort((a, b) => {
    for (const [at, { sign }] of columns.entries()) {
      const order = compare(a.weights[at], b.weights[at], sign);
      if (order !== 0) return order;
    }
    return 0;
  });
  return weighed.map(({ row }) => row);
}

type Weight = number | string | undefined;

function weigh<Row>(field: Field<Row>, row: Row, options: TextOptions): Weight {
  if (field.order !== undefined) return field.order(row);
  const { text } = field.cell(row, options);
  return text === "-" ? undefined : text;
}

function compare(a: Weight, b: Weight, sign: number): number {
  if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
  return sign * (typeof a === "number" && typeof b === "number" ? a - b : byName(String(a), String(b)));
}
