// What a question narrows a listing to: units by name, machine and state, machines by their metadata. Values of one kind
// widen, kinds narrow: a row is shown that fits one value of each kind. Given to api/; pure.
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import type { MachineReference, MachineReport, UnitFileReport, UnitReport } from "../domain/report.ts";
import { compileGlob } from "../text/glob.ts";

/** More values of one kind than this are somebody's mistake. */
export const maxSelectors = 64;

/** Empty lists ask for everything. */
export interface UnitSelection {
  /** Glob patterns over whole unit names. */
  readonly units: readonly string[];
  /** Each the beginning of a machine id, a whole hostname, or a whole address. */
  readonly machines: readonly string[];
  /** Any of systemd's three words, "problem" for a unit that has one, or what is known instead of them; of unit files fleet's state or what they want. */
  readonly states: readonly string[];
}

/** Problems: "glob-malformed", and "api-query" for more values than anybody needs. */
export function selectUnits(rows: readonly UnitReport[], selection: UnitSelection): Checked<readonly UnitReport[]> {
  return select(rows, selection, {
    machine: (row) => row.machine,
    states: (row) =>
      row.knowledge === "reported"
        ? [row.active, row.sub, row.load, ...(row.problem === undefined ? [] : ["problem"])]
        : [row.knowledge],
  });
}

/** As `selectUnits`. A unit file that is on no one machine fits no machine. */
export function selectUnitFiles(
  rows: readonly UnitFileReport[],
  selection: UnitSelection,
): Checked<readonly UnitFileReport[]> {
  return select(rows, selection, {
    machine: (row) => row.machine,
    states: (row) => [row.state ?? row.desired],
  });
}

/** Machines that have all of the `key=value` pairs. Problem "api-query" for what is none. */
export function selectMachines(
  rows: readonly MachineReport[],
  pairs: readonly string[],
): Checked<readonly MachineReport[]> {
  const tooMany = tooManyOf("metadata", pairs);
  if (tooMany !== undefined) return invalid(tooMany);
  const wrong = pairs.filter((pair) => !/^[^=]+=/.test(pair));
  if (wrong.length > 0) {
    return invalid(
      ...wrong.map(
        (pair) =>
          new Problem("api-query", `Cannot take "${pair.slice(0, 64)}" as metadata`, { hint: "It is key=value" }),
      ),
    );
  }
  const asked = pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)] as const);
  return valid(
    rows.filter(({ metadata }) =>
      asked.every(([key, value]) => Object.hasOwn(metadata, key) && metadata[key] === value),
    ),
  );
}

interface Traits<Row> {
  readonly machine: (row: Row) => MachineReference | undefined;
  readonly states: (row: Row) => readonly (string | undefined)[];
}

function select<Row extends { readonly name: string }>(
  rows: readonly Row[],
  { units, machines, states }: UnitSelection,
  traits: Traits<Row>,
): Checked<readonly Row[]> {
  const names = units.map((pattern) => compileGlob(pattern));
  const problems = [
    ...[tooManyOf("unit", units), tooManyOf("machine", machines), tooManyOf("state", states)],
    ...names.flatMap((name) => (name.ok ? [] : name.problems)),
  ].filter((problem) => problem !== undefined);
  if (problems.length > 0) return invalid(...problems);
  const tests = names.flatMap((name) => (name.ok ? [name.value] : []));
  const wanted = new Set(states);
  return valid(
    rows.filter((row) => {
      if (tests.length > 0 && !tests.some((test) => test(row.name))) return false;
      if (machines.length > 0 && !isOneOf(machines, traits.machine(row))) return false;
      return wanted.size === 0 || traits.states(row).some((state) => state !== undefined && wanted.has(state));
    }),
  );
}

function isOneOf(asked: readonly string[], machine: MachineReference | undefined): boolean {
  if (machine === undefined) return false;
  const { id, hostname, ip } = machine;
  return asked.some((text) => text !== "" && (id.startsWith(text.toLowerCase()) || text === hostname || text === ip));
}

function tooManyOf(kind: string, values: readonly string[]): Problem | undefined {
  return values.length <= maxSelectors
    ? undefined
    : new Problem("api-query", `Cannot look for ${values.length} values of "${kind}" at once`, {
        hint: `At most ${maxSelectors} are taken`,
      });
}
