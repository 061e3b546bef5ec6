// The text of flotilla.conf as a layer: sections and keys as in systemd's own files, each with its line.
import { Problem } from "../domain/problem.ts";
import { suggest } from "../text/suggest.ts";
import { readUnitFile } from "../text/unit-file.ts";
import type { Assignment, Layer } from "./layers.ts";
import { options, sectionNames } from "./options.ts";
import { shorten } from "./values.ts";

/** Reads the text of a flotilla.conf. Unknown sections and keys are problems: a misspelled setting is a missing one. */
export function confLayer({ file, text }: { readonly file: string; readonly text: string }): Layer {
  const { read, problems: unread } = readUnitFile(text, file);
  const assignments: Assignment[] = [];
  const problems = unread.map(unquoted);
  const strange = new Set<string>();
  for (const { section, key, value, line } of read.assignments) {
    const at = { file, line };
    const option = options.find((each) => each.section === section && each.key === key);
    if (option !== undefined)
      assignments.push({ option, text: value.trim(), origin: { label: `[${section}] ${key}`, at } });
    else if (sectionNames.some((name) => name === section)) problems.push(unknownKey({ section, key }, at));
    else if (!strange.has(section)) {
      strange.add(section);
      problems.push(unknownSection(section, at));
    }
  }
  return { assignments, problems, warnings: [], isPartial: unread.length > 0 };
}

/** A line that cannot be read may hold a secret: it is named by its number and not shown. */
function unquoted(problem: Problem): Problem {
  if (problem.code !== "unit-line") return problem;
  return new Problem("setting-line", "Cannot read this line of the settings", {
    hint: "A line is a comment (# or ;), a [Section] or Name=Value",
    at: problem.at,
  });
}

function unknownSection(section: string, at: { file: string; line: number }): Problem {
  const near = suggest(section, sectionNames);
  return new Problem("setting-unknown", `Cannot understand section [${shorten(section)}]`, {
    hint:
      near === undefined ? `There are ${sectionNames.map((name) => `[${name}]`).join(" ")}` : `Did you mean [${near}]`,
    at,
  });
}

/** A key that another section has is probably only in the wrong place. */
function unknownKey({ section, key }: { section: string; key: string }, at: { file: string; line: number }): Problem {
  const elsewhere = options.filter((each) => each.key === key).map((each) => `[${each.section}]`);
  const near = suggest(
    key,
    options.filter((each) => each.section === section).map((each) => each.key),
  );
  const hint =
    elsewhere.length > 0
      ? `${key}= belongs into ${elsewhere.join(" or ")}`
      : near === undefined
        ? `No setting of [${section}] has this name`
        : `Did you mean ${near}=`;
  return new Problem("setting-unknown", `Cannot understand [${section}] ${shorten(key)}=`, { hint, at });
}
