// Unit files and drop-ins, read as systemd reads them; the canonical text and the hash that are made of them.
import { unitHash, parsedUnitHash } from "../../../agent/text/hash.ts";
import { canonicalText, parseUnitFile } from "../../../agent/text/unit-file.ts";
import { optionsOfTexts, textOfOptions } from "../../../agent/text/unit-options.ts";
import { type Target, mustHold, textOf } from "../target.ts";

/** Each bad line is a problem of its own: a text of nothing else has as many as it has lines. */
const maxToldChars = 400;

export const target: Target = {
  name: "unit-file",
  reads: "unit files",
  maxBytes: 64 * 1024,
  readings: 3,
  words: [
    ...["[Unit]\n", "[Service]\n", "[Install]\n", "[X-Fleet]\n", "ExecStart=", "Description=", "WantedBy=", "\\\n"],
    ...[
      "[",
      "]",
      "=",
      "#",
      ";",
      "\\",
      " \\\n",
      "\n\n",
      "\r\n",
      "\n\r",
      ".include /x",
      'Environment="A=b c"',
      "%i",
      "%%",
    ],
  ],
  run(input) {
    const parsed = parseUnitFile(input, "web.service");
    const { length } = input;
    if (!parsed.ok) {
      for (const { at, message } of parsed.problems) {
        mustHold(at?.file === "web.service" && (at.line ?? 0) >= 1, `a place for: ${message}`);
        mustHold(message.length <= maxToldChars, "a short message");
      }
      mustHold(parsed.problems.length <= length + 1, "no more problems than bytes");
      return { outcome: "refused", problems: parsed.problems };
    }
    const canonical = canonicalText(parsed.value);
    const again = parseUnitFile(canonical, "web.service");
    mustHold(again.ok, "a canonical text that can be read");
    mustHold(canonicalText(again.value) === canonical, "one canonical text of one unit");
    const said = (file: typeof parsed.value): string =>
      JSON.stringify(
        [...new Set(file.assignments.map(({ section }) => section))].map((name) =>
          file.assignments.filter(({ section }) => section === name).map(({ key, value }) => [name, key, value]),
        ),
      );
    mustHold(said(again.value) === said(parsed.value), "a canonical text that says the same");
    const text = textOf(input);
    mustHold(unitHash(text, []) === parsedUnitHash(parsed.value, []), "one hash of one text");
    const options = optionsOfTexts([text]);
    mustHold(options.ok, "options of a text that can be read");
    const back = textOfOptions(options.value, "web.service");
    mustHold(back.ok, `a text of the options: ${back.ok ? "" : (back.problems[0]?.message ?? "")}`);
    mustHold(back.value.canonical === canonical, "the same canonical text by way of options");
    return { outcome: parsed.value.assignments.length === 0 ? "empty" : "taken", problems: [] };
  },
};
