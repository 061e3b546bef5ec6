// Units as fleet's clients send them: lists of options, made into a text that systemd reads.
import { optionsOfTexts, textOfOptions, type UnitOption } from "../../../agent/text/unit-options.ts";
import { type Target, mustHold, textOf } from "../target.ts";

/** Blocks of three lines each, so that any bytes are options: section, name, value with `\n` for a line end. */
function optionsIn(text: string): readonly UnitOption[] {
  return text.split("\n\n").map((block) => {
    const [section = "", name = "", value = ""] = block.split("\n");
    return { section, name, value: value.replaceAll("\\n", "\n") };
  });
}

export const target: Target = {
  name: "unit-options",
  reads: "lists of options from fleet's clients",
  maxBytes: 32 * 1024,
  readings: 2,
  words: [
    "Unit",
    "Service",
    "X-Fleet",
    "ExecStart",
    "Conflicts",
    "\\n",
    "\\\\n",
    "\\",
    "[",
    "]",
    "]\n",
    "=",
    "#",
    "\n\n",
  ],
  run(input) {
    const options = optionsIn(textOf(input));
    const text = textOfOptions(options, "web.service");
    if (!text.ok) return { outcome: "refused", problems: text.problems };
    const back = optionsOfTexts([text.value.text]);
    mustHold(back.ok, "a text that can be read");
    const sections = [...new Set(options.map(({ section }) => section))];
    const sorted = sections.flatMap((section) => options.filter((each) => each.section === section));
    const plain = (all: readonly UnitOption[]): string =>
      JSON.stringify(all.map(({ section, name, value }) => [section, name, value.trim()]));
    const named = (all: readonly UnitOption[]): string =>
      JSON.stringify(all.map(({ section, name }) => [section, name]));
    mustHold(named(back.value) === named(sorted), "the same options, in their order");
    const again = textOfOptions(back.value, "web.service");
    mustHold(again.ok && again.value.canonical === text.value.canonical, `one text: ${plain(back.value)}`);
    return { outcome: "taken", problems: [] };
  },
};
