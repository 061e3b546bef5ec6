// flotilla resume UNIT...: lifts holds; the units are again as the repository wants them.
import { handAnswers } from "../report/hands.ts";
import { orThrow } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { heldUnit, readPatterns } from "./hold.ts";
import { jsonText, writeForeign } from "./print.ts";
import { documentOption } from "./wait-options.ts";

export const resume: Command = {
  name: "resume",
  summary: "Lift holds on units",
  args: [heldUnit],
  options: [{ flags: "--all", means: "Every hold" }, documentOption],
  more: `The units are again as the repository wants them. It does not wait: list-units --watch shows what the machines do.`,
  examples: [
    ["resume db", "One unit"],
    ["resume 'web@*'", "All instances"],
    ["resume --all", "Everything that is held"],
  ],
  run: async (tools, given) => {
    const patterns = readPatterns(given, "resume");
    const client = await tools.apiClient(given.reach);
    const answer = await client.delete("/v2/holds", { body: { patterns }, signal: tools.signal });
    const { resumed } = orThrow(handAnswers.resumed(answer));
    const text = resumed.length === 0 ? "Nothing is held\n" : resumed.map((name) => `Resumed ${name}\n`).join("");
    await writeForeign(tools, given.options["json"] === true ? jsonText(answer) : text);
    return exitCodes.ok;
  },
};
