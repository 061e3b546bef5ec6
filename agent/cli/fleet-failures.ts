// What goes wrong, in the words that fleetctl had for it, and with its exit codes. Pure;
// given to fleetctl.ts.
import { Problem, type ProblemRecord, describeProblem } from "../domain/problem.ts";
import { problemText } from "../report/report.ts";
import { exitCodes } from "./exit-codes.ts";

/** The text for stderr, with its line feed. `command`: the one that was called; "" before it is known. */
export function fleetText(command: string, problem: ProblemRecord): string {
  const said = fleetLines(command, problem);
  return said === undefined
    ? problemText(problem)
    : said.map((message) => problemText({ code: problem.code, message })).join("");
}

/** fleet had no code of its own for an agent that does not answer, and 1 for an endpoint or a field that is none. */
export function fleetExitCode(code: number, error: unknown): number {
  if (code === exitCodes.unreachable) return exitCodes.failure;
  const problem: unknown = error instanceof AggregateError ? error.errors[0] : error;
  if (!(problem instanceof Problem)) return code;
  return isEndpoint(problem) || isField(problem) || isUnclearTarget(problem) ? exitCodes.failure : code;
}

/** Undefined: fleet had no words for it, or none that are better. */
function fleetLines(command: string, problem: ProblemRecord): readonly string[] | undefined {
  const { code, message } = problem;
  if (code.startsWith("fleet-")) return [message];
  if (isEndpoint(problem)) return [message.replace(/^.*": /, "Unable to initialize client: ")];
  if (isField(problem)) return [message];
  switch (command) {
    case "list-machines":
      return isAway(code) ? awayLines(problem) : undefined;
    case "list-units":
    case "list-unit-files":
      return isAway(code) ? [`Error retrieving list of units from repository: ${plain(problem)}`] : undefined;
    case "cat":
      return code === "unit-unknown" ? [`Unit ${unitIn(message)} not found`] : undefined;
    case "status":
    case "journal":
      if (code === "unit-unknown") return [`Unit ${unitIn(message)} does not exist.`];
      return code === "unit-not-placed" && message.startsWith("Unit ") ? [`${message}.`] : undefined;
    case "submit":
    case "load":
    case "start":
    case "restart":
      return creating(problem);
    case "ssh":
      return isUnclearTarget(problem)
        ? [`Unable to proceed: ${message.charAt(0).toLowerCase()}${message.slice(1)}`]
        : undefined;
    default:
      return undefined;
  }
}

/** What keeps a unit from being created stands behind one beginning. */
function creating(problem: ProblemRecord): readonly string[] | undefined {
  const { code, message } = problem;
  if (code === "usage" && message.startsWith("Cannot tell which units")) return ["No units given"];
  if (code === "unit-unknown") return [`Error creating units: ${message}`];
  if (problem.file === undefined && code !== "unit-name") return undefined;
  const hint = problem.hint === undefined ? [] : [`hint: ${problem.hint}`];
  return [`Error creating units: ${plain(problem)}`, ...hint];
}

function awayLines(problem: ProblemRecord): readonly string[] {
  return [
    `Error retrieving list of active machines from fleet API (${plain(problem)})`,
    "Possible issues:",
    "  etcd is unhealthy and/or lost quorum",
    "  connection cannot be established to any etcd servers",
  ];
}

function isAway(code: string): boolean {
  return /^(agent|registry|api|picture)-/.test(code) || code === "commit-missing";
}

function isEndpoint({ code, message }: { readonly code: string; readonly message: string }): boolean {
  return code === "usage" && message.startsWith("Cannot use endpoint ");
}

function isField({ code }: { readonly code: string }): boolean {
  return /^fields?-/.test(code);
}

/** fleet did not take it for a mistake on the command line. */
function isUnclearTarget({ code, message }: { readonly code: string; readonly message: string }): boolean {
  return code === "usage" && /^(One|Both) machine /.test(message);
}

function unitIn(message: string): string {
  return /"([^"]*)"/.exec(message)?.[1] ?? "";
}

/** Without what to do about it. */
function plain(problem: ProblemRecord): string {
  const { code, message, file, line, column } = problem;
  const place = { ...(file === undefined ? {} : { file }), ...(line === undefined ? {} : { line }) };
  return describeProblem({ code, message, ...place, ...(column === undefined ? {} : { column }) });
}
