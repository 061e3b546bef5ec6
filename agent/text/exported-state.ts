// The state of a cluster in a file: what `flotilla state` has printed, read back for `flotilla plan`. The file may be from
// anybody and from another version: it is checked whole before it is believed.
import stateSchema from "../../schemas/state.json" with { type: "json" };
import { type ExportedState, stateVersion } from "../domain/plan.ts";
import { type Checked, Problem, invalid } from "../domain/problem.ts";
import { compileSchema } from "./schema.ts";

const check = compileSchema<ExportedState>(stateSchema, { code: "state-shape" });
const hint = "Export it anew: flotilla state >FILE";

/** `file`: what its reader calls it. Problems "state-json", "state-version", "state-shape". */
export function readExportedState(text: string, file: string): Checked<ExportedState> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return invalid(new Problem("state-json", `Cannot read "${file}" as JSON`, { hint, cause }));
  }
  return checkExportedState(value, file);
}

/** The same of what the agent has answered. */
export function checkExportedState(value: unknown, file: string): Checked<ExportedState> {
  const version = typeof value === "object" && value !== null && "version" in value ? value.version : undefined;
  if (version === undefined)
    return invalid(new Problem("state-shape", `Cannot take "${file}" for the state of a cluster`, { hint }));
  if (version !== stateVersion) {
    const said = JSON.stringify(version).slice(0, 20);
    return invalid(
      new Problem("state-version", `Cannot read version ${said} of a state in "${file}"`, {
        hint: `This flotilla reads version ${stateVersion}: take the same flotilla for both`,
      }),
    );
  }
  const read = check(value);
  if (read.ok) return read;
  const told = read.problems.map(
    ({ code, message, hint: what }) => new Problem(code, message, { hint: what, at: { file } }),
  );
  return { ok: false, problems: told };
}
