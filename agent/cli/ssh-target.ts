// Which machine a word means to `flotilla ssh`: a machine by the beginning of its id, its hostname or its address; a unit by
// its name. Pure; as fleet's, with units in several places.
import { Problem } from "../domain/problem.ts";
import type { MachineReference } from "../domain/report.ts";
import { registryAway } from "../report/report.ts";

/** What a word was found to be. */
export interface Candidates {
  readonly word: string;
  /** All machines that live. */
  readonly machines: readonly MachineReference[];
  /** Where the unit of this name is; undefined: there is no such unit, or none was looked for. */
  readonly places: readonly MachineReference[] | undefined;
  /** The registry is away: there may be more machines and units than one machine knows. */
  readonly mayBeMore?: boolean;
}

/** Which of the two was asked for by a flag. */
export type Meaning = "machine" | "unit" | "either";

/** Machines whose id begins so, else those of this hostname or address. */
export function matchMachines(machines: readonly MachineReference[], word: string): readonly MachineReference[] {
  const begins = word === "" ? [] : machines.filter(({ id }) => id.startsWith(word.toLowerCase()));
  return begins.length > 0
    ? begins
    : machines.filter(({ hostname, ip }) => word !== "" && (hostname === word || ip === word));
}

/**
 * The machines that are meant: one, unless `all` allows several. Throws Problem "target-unclear", in fleet's words, or
 * "registry-unreachable" where nobody can say that there is none, or where all of them are.
 */
export function chooseMachines(
  { word, machines, places, mayBeMore = false }: Candidates,
  { meaning, all }: { readonly meaning: Meaning; readonly all: boolean },
): readonly MachineReference[] {
  const named = meaning === "unit" ? [] : matchMachines(machines, word);
  const ofUnit = meaning === "machine" ? undefined : places;
  const shown = word.slice(0, 64);
  if (named.length > 0 && ofUnit !== undefined) {
    throw refusal(`ambiguous argument, both machine and unit found for \`${shown}\``, {
      hint: `Say which: --machine ${shown} or --unit ${shown}`,
    });
  }
  const isPart = ofUnit === undefined ? named.length === 0 : all || ofUnit.length === 0;
  if (mayBeMore && isPart) throw registryAway(`where "${shown}" is`);
  if (ofUnit !== undefined) return chooseOf(ofUnit, { shown, all });
  if (named.length > 1) {
    throw refusal("found more than one machine", {
      hint: `"${shown}" is the beginning of ${named
        .map(({ id }) => id)
        .slice(0, 8)
        .join(", ")}`,
    });
  }
  if (named.length === 1) return named;
  const missing = {
    machine: "machine does not exist",
    unit: "unit does not exist",
    either: "could not find matching unit or machine",
  };
  throw refusal(missing[meaning], { hint: "flotilla list-machines and list-units show what there is" });
}

function chooseOf(
  places: readonly MachineReference[],
  { shown, all }: { readonly shown: string; readonly all: boolean },
): readonly MachineReference[] {
  if (places.length === 0) {
    throw refusal(`unit ${shown} is on no machine that answers`, { hint: `flotilla status ${shown} says why` });
  }
  if (places.length === 1 || all) return places;
  const machines = places.map(({ id, hostname }) => id.slice(0, 8) + (hostname === "" ? "" : ` (${hostname})`));
  throw refusal(`unit ${shown} is on ${places.length} machines`, {
    hint: `Name one of them: ${machines.slice(0, 8).join(", ")}; or run a command on all: --all`,
  });
}

function refusal(message: string, { hint }: { readonly hint: string }): Problem {
  return new Problem("target-unclear", `Unable to proceed: ${message}`, { hint });
}
