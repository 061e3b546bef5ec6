// flotilla cat UNIT: the unit's text as its author wrote it.
import { answers, unitFileText } from "../report/report.ts";
import { orThrow } from "./checked.ts";
import type { Command } from "./command.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText, writeForeign } from "./print.ts";
import { completeUnitName } from "./unit-names.ts";

export const cat: Command = {
  name: "cat",
  summary: "Print the text of a unit or template",
  args: [{ name: "UNIT", means: "Name of a unit or template; .service may be left out", takes: "one" }],
  options: [{ flags: "--json", means: "Print JSON, with where it stands and its drop-ins apart" }],
  more: "Drop-ins follow the text, each under its path in the repository.",
  examples: [
    ["cat web@1.service", "An instance: its template's text"],
    ["cat web@ > web@.service", "A template, byte for byte"],
  ],
  run: async (tools, { args, options, reach }) => {
    const name = completeUnitName(args[0] ?? "");
    const client = await tools.apiClient(reach);
    const answer = await client.get(`/v2/unit-files/${encodeURIComponent(name)}`, { signal: tools.signal });
    const unit = orThrow(answers.unitFile(answer));
    await writeForeign(tools, options["json"] === true ? jsonText(answer) : unitFileText(unit));
    return exitCodes.ok;
  },
};
