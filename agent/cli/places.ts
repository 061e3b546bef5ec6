// Where the units are that a command goes to: names and globs on the command line -> units with their machines, each once.
import { Problem } from "../domain/problem.ts";
import type { MachineReference, UnitDetail, UnitReport } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { answers, isStale, listings, registryAway } from "../report/report.ts";
import { orThrow } from "./checked.ts";
import { completeUnitName } from "./unit-names.ts";

export interface UnitPlace {
  readonly unit: string;
  readonly machine: MachineReference;
  /** Whether the machine has said that it has been started there. */
  readonly begun: boolean;
}

export interface Places {
  /** In the order of the arguments, then of machine ids. */
  readonly places: readonly UnitPlace[];
  /** Of arguments that name nothing, nothing that is on a machine that answers, or more than can be told. */
  readonly problems: readonly Problem[];
}

/** Whether a word asks for several units. */
export function isGlob(word: string): boolean {
  return /[*?[]/.test(word);
}

/** Problems: "unit-unknown", "unit-name", "unit-not-placed", "registry-unreachable". Rejects when the agent cannot be asked. */
export async function findPlaces(client: ApiClient, words: readonly string[], signal: AbortSignal): Promise<Places> {
  const places: UnitPlace[] = [];
  const problems: Problem[] = [];
  for (const word of words) {
    try {
      const found = isGlob(word)
        ? await ofGlob(client, word, signal)
        : { places: await ofName(client, word, signal), problems: [] };
      places.push(...found.places.filter((each) => !places.some((known) => isSame(known, each))));
      problems.push(...found.problems);
    } catch (error) {
      if (!(error instanceof Problem && argumentCodes.has(error.code))) throw error;
      problems.push(error);
    }
  }
  return { places, problems };
}

const argumentCodes: ReadonlySet<string> = new Set(["unit-unknown", "unit-name", "unit-not-placed", "glob-malformed"]);

/** The unit of a name, the units and instances of a pattern. Rejects with "unit-name", "unit-unknown". */
export async function namesOf(client: ApiClient, word: string, signal: AbortSignal): Promise<readonly string[]> {
  if (!isGlob(word)) return [completeUnitName(word)];
  const path = `/v2/unit-files?unit=${encodeURIComponent(completePattern(word))}`;
  const rows = orThrow(listings.unitFiles.read(await client.get(path, { signal })));
  const names = rows.filter(({ template }) => !template).map(({ name }) => name);
  if (names.length > 0) return names;
  throw new Problem("unit-unknown", `Cannot find a unit that "${word.slice(0, 64)}" names`, { hint: patternHint });
}

const patternHint = "flotilla list-units shows what there is; quote a pattern, so that the shell leaves it alone";

/** As of a name, `.service` may be left out. */
function completePattern(word: string): string {
  return /\.[a-z*?\]]+$/.test(word) || word.endsWith("*") ? word : `${word}.service`;
}

/** Undefined: there is no such unit. */
export async function findUnit(client: ApiClient, name: string, signal: AbortSignal): Promise<UnitDetail | undefined> {
  try {
    return orThrow(answers.unit(await client.get(`/v2/status/${encodeURIComponent(name)}`, { signal })));
  } catch (error) {
    if (error instanceof Problem && error.code === "unit-unknown") return undefined;
    throw error;
  }
}

/** The places of a unit to which one can go: where it is meant to be, else where it is still seen. */
export function reachablePlaces(unit: UnitDetail): readonly UnitPlace[] {
  const alive = unit.places.filter(({ machine }) => machine.alive);
  const meant = alive.filter(({ target }) => target !== undefined && target !== "released");
  return (meant.length > 0 ? meant : alive).map(placeOf);
}

function placeOf({ name, machine, knowledge, active = "inactive" }: UnitReport): UnitPlace {
  return { unit: name, machine, begun: knowledge === "reported" && active !== "inactive" };
}

async function ofName(client: ApiClient, word: string, signal: AbortSignal): Promise<readonly UnitPlace[]> {
  const name = completeUnitName(word);
  const unit = orThrow(answers.unit(await client.get(`/v2/status/${encodeURIComponent(name)}`, { signal })));
  const places = reachablePlaces(unit);
  if (places.length > 0) return places;
  throw notPlaced(unit);
}

function notPlaced({ name, places, file }: UnitDetail): Problem {
  const [lost] = places;
  if (lost !== undefined) {
    return new Problem(
      "unit-not-placed",
      `Cannot go to ${name}: its machine ${lost.machine.id.slice(0, 8)}... does not answer`,
      {
        hint: `flotilla status ${name} --no-ssh says what is known of it`,
      },
    );
  }
  if (file?.template === true) {
    return new Problem("unit-not-placed", `Cannot go to ${name}: a template is not run itself`, {
      hint: `Its instances: '${name.replace("@.", "@*.")}'`,
    });
  }
  return new Problem("unit-not-placed", `Unit ${name} does not appear to be running`, {
    hint: `flotilla explain ${name} says why it is on no machine`,
  });
}

async function ofGlob(client: ApiClient, word: string, signal: AbortSignal): Promise<Places> {
  const path = `/v2/units?unit=${encodeURIComponent(completePattern(word))}`;
  const answer = await client.get(path, { signal });
  const rows = orThrow(listings.units.read(answer));
  const alive = rows.filter(({ machine, target }) => machine.alive && target !== "released").map(placeOf);
  if (isStale(answer)) {
    return { places: alive, problems: [registryAway(`where all is that "${word.slice(0, 64)}" names`)] };
  }
  if (alive.length > 0) return { places: alive, problems: [] };
  throw new Problem("unit-unknown", `Cannot find a unit on any machine that "${word.slice(0, 64)}" names`, {
    hint: patternHint,
  });
}

function isSame(a: UnitPlace, b: UnitPlace): boolean {
  return a.unit === b.unit && a.machine.id === b.machine.id;
}

export interface MachineUnits {
  readonly machine: MachineReference;
  readonly units: readonly string[];
}

/** By machine, in the order in which each comes first. */
export function byMachine(places: readonly Pick<UnitPlace, "unit" | "machine">[]): readonly MachineUnits[] {
  const machines = new Map<string, { readonly machine: MachineReference; readonly units: string[] }>();
  for (const { unit, machine } of places) {
    const entry = machines.get(machine.id) ?? { machine, units: [] };
    entry.units.push(unit);
    machines.set(machine.id, entry);
  }
  return [...machines.values()];
}
