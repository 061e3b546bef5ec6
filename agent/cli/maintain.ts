// What cordon and uncordon have in common: a word on some machines, which is said and stands at once.
import { Problem, type ProblemRecord, toRecord } from "../domain/problem.ts";
import type { MachineReference } from "../domain/report.ts";
import type { ApiClient } from "../ports/api-client.ts";
import { type MaintenanceAnswer, handAnswers, machineText } from "../report/hands.ts";
import { orThrow } from "./checked.ts";
import type { Given } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { findMachines } from "./machine-arguments.ts";
import { jsonText, writeFailure } from "./print.ts";
import type { Tools } from "./tools.ts";
import { sideBySide } from "./unit-arguments.ts";

export interface Maintaining {
  readonly given: Given;
  readonly verb: "cordon" | "uncordon";
  /** One line for stdout. */
  readonly says: (machine: MachineReference, answer: MaintenanceAnswer) => string;
}

/** What became of one machine: the rows of the JSON document. */
interface MachineOutcome {
  readonly machine: MachineReference;
  readonly outcome: MaintenanceAnswer["outcome"] | "failed";
  readonly drain?: MaintenanceAnswer["drain"];
  readonly problems?: readonly ProblemRecord[];
}

export async function maintainMachines(tools: Tools, { given, verb, says }: Maintaining): Promise<number> {
  const { signal } = tools;
  const client = await tools.apiClient(given.reach);
  const machines = await findMachines(client, { words: given.args, verb, signal });
  const problems: Problem[] = [];
  const isJson = given.options["json"] === true;
  const outcomes = await sideBySide(machines, async (machine): Promise<MachineOutcome> => {
    try {
      const answer = await post(client, { path: pathOf(machine, verb), signal });
      if (!isJson) await tools.stdout.write(`${says(machine, answer)}\n`);
      return { machine, ...answer };
    } catch (error) {
      if (!(error instanceof Problem) || isEverybodys(error)) throw error;
      problems.push(error);
      return { machine, outcome: "failed", problems: [toRecord(error)] };
    }
  });
  if (isJson) await tools.stdout.write(jsonText({ command: verb, machines: outcomes }));
  else if (problems.length > 0) await writeFailure(tools, new AggregateError(problems));
  return problems.length > 0 ? exitCodes.failure : exitCodes.ok;
}

export async function post(
  client: ApiClient,
  asked: { readonly path: string; readonly body?: object; readonly signal: AbortSignal },
): Promise<MaintenanceAnswer> {
  const { path, body, signal } = asked;
  return orThrow(handAnswers.maintenance(await client.post(path, { signal, ...(body === undefined ? {} : { body }) })));
}

export function pathOf({ id }: MachineReference, verb: "cordon" | "uncordon" | "drain"): string {
  return `/v2/machines/${id}/${verb}`;
}

/** `Machine 59f61aeb.../10.79.0.13 (n3)`, and that it is gone where it is. */
export function titleOf(machine: MachineReference): string {
  return `Machine ${machineText(machine)}${machine.alive ? "" : ", which is not there,"}`;
}

/** One that the other machines would meet as well is said once. */
function isEverybodys({ code }: Problem): boolean {
  return code === "aborted" || /^(agent|api)-|^registry-unreachable$/.test(code);
}
