// The name by which the program was started -> flotilla's commands, or fleetctl's. Given to main.ts.
import { runCommand } from "./args.ts";
import type { Tools } from "./tools.ts";

/**
 * `names`: paths or words by which the program was started, of the process and of its script; a link counts, not where it leads.
 * Resolves with the exit code; never rejects.
 */
export async function runCalledAs(
  names: readonly (string | undefined)[],
  { argv, tools }: { readonly argv: readonly string[]; readonly tools: Tools },
): Promise<number> {
  if (!names.some((path) => path?.slice(path.lastIndexOf("/") + 1) === "fleetctl")) return runCommand(argv, tools);
  const { runFleetctl } = await import("./fleetctl.ts");
  return runFleetctl(argv, tools);
}
