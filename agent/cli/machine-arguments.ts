// What machines the words of a command line mean: the beginning of an id, a hostname or an address. Given to the commands that
// change machines; everything is found out before anything is changed.
import { parseMachineId } from "../domain/names.ts";
import { Problem, invalid } from "../domain/problem.ts";
import type { MachineReference } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { handAnswers } from "../report/hands.ts";
import { answers, isStale, listings, lostByEvents, registryAway } from "../report/report.ts";
import { suggest } from "../text/suggest.ts";
import { orThrow, usageProblem } from "./checked.ts";
import type { Argument } from "./command.ts";
import { matchMachines } from "./ssh-target.ts";

export const machineArgument: Argument = {
  name: "MACHINE",
  means: "The beginning of an id, a hostname or an address",
  takes: "any",
};

/**
 * Each machine once, in the order of the words. Rejects with "machine-unknown" and "machine-unclear", for all words at once;
 * with "registry-unreachable" in place of the first while nobody can say so.
 * Machines that are gone are known by their ids, any by the whole of it, and by their hostnames while events tell of their loss.
 */
export async function findMachines(
  client: ApiClient,
  { words, verb, signal }: { readonly words: readonly string[]; readonly verb: string; readonly signal: AbortSignal },
): Promise<readonly MachineReference[]> {
  if (words.length === 0) throw usageProblem(`Cannot tell which machines to ${verb}`, "Name at least one");
  const answer = await client.get("/v2/machines", { signal });
  const rows = orThrow(listings.machines.read(answer));
  const alive = rows.map(({ id, ip, hostname }): MachineReference => ({ id, ip, hostname, alive: true }));
  const isAllThere = words.every((word) => matchMachines(alive, word).length > 0);
  const gone = isAllThere ? [] : await findGone(client, { alive, isAway: isStale(answer), signal });
  const found: MachineReference[] = [];
  const problems: Problem[] = [];
  for (const word of words) {
    const named = matchMachines(alive, word);
    const [only, ...others] = named.length > 0 ? named : goneBy(gone, word);
    if (only === undefined) problems.push(isStale(answer) ? untold(word) : unknown(word, [...alive, ...gone]));
    else if (others.length > 0) problems.push(unclear(word, [only, ...others]));
    else if (!found.some(({ id }) => id === only.id)) found.push(only);
  }
  if (problems.length > 0) orThrow(invalid(...problems));
  return found;
}

/** Rejects with "machine-unknown" for words that begin no id and name no machine, living or gone, where that can be told. */
export async function mustBeMachines(client: ApiClient, words: readonly string[], signal: AbortSignal): Promise<void> {
  const answer = await client.get("/v2/machines", { signal });
  if (isStale(answer)) return;
  const alive = orThrow(listings.machines.read(answer)).map((row): MachineReference => ({ ...row, alive: true }));
  const left = words.filter((word) => matchMachines(alive, word).length === 0);
  if (left.length === 0) return;
  const gone = await findGone(client, { alive, isAway: false, signal });
  const wrong = left.filter((word) => goneBy(gone, word).length === 0);
  if (wrong.length > 0) orThrow(invalid(...wrong.map((word) => unknown(word, [...alive, ...gone]))));
}

/** Machines that do not answer but are remembered: for their units, for what operators say of them, for their loss. */
async function findGone(
  client: ApiClient,
  how: { readonly alive: readonly MachineReference[]; readonly isAway: boolean; readonly signal: AbortSignal },
): Promise<readonly MachineReference[]> {
  const { alive, isAway, signal } = how;
  const [status, { events }] = await Promise.all([
    client.get("/v2/status", { signal }).then(answers.cluster).then(orThrow),
    // Without the registry nobody knows what happened
    isAway ? { events: [] } : client.get("/v2/events", { signal }).then(handAnswers.events).then(orThrow),
  ]);
  const { lost, cordoned = [], resting = [] } = status.machines;
  const said = [...lost, ...cordoned, ...resting].map(({ machine }) => machine);
  const all = [...lostByEvents(events), ...said].filter((machine) => !machine.alive);
  const isBack = ({ id }: MachineReference): boolean => alive.some((machine) => machine.id === id);
  return [...new Map(all.filter((machine) => !isBack(machine)).map((machine) => [machine.id, machine])).values()];
}

function goneBy(gone: readonly MachineReference[], word: string): readonly MachineReference[] {
  const named = matchMachines(gone, word);
  const whole = parseMachineId(word);
  if (named.length > 0 || !whole.ok) return named;
  return [{ id: whole.value, ip: "", hostname: "", alive: false }];
}

function untold(word: string): Problem {
  return registryAway(`which machine "${word.slice(0, 64)}" is`);
}

function unknown(word: string, machines: readonly MachineReference[]): Problem {
  const names = machines
    .flatMap(({ id, ip, hostname }) => [hostname, ip, id.slice(0, 8)])
    .filter((name) => name !== "");
  const near = suggest(word, names);
  return new Problem("machine-unknown", `Cannot find machine "${word.slice(0, 64)}"`, {
    hint:
      near === undefined
        ? "flotilla list-machines shows those that live; any other is named by its id"
        : `Did you mean ${near}?`,
  });
}

function unclear(word: string, named: readonly MachineReference[]): Problem {
  const ids = named.map(({ id, hostname }) => (hostname === "" ? id : `${id} (${hostname})`));
  return new Problem("machine-unclear", `Cannot tell which machine "${word.slice(0, 64)}" is`, {
    hint: `It is one of ${ids.slice(0, 8).join(", ")}`,
  });
}
