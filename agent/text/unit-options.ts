// A unit as fleet's API carries it: an ordered list of options. To and from the text that systemd reads. Given to api/.
// Knows no option by name.
import { type Checked, Problem, invalid, valid } from "../domain/problem.ts";
import { type Assignment, type UnitFile, canonicalText, concatenate, parseUnitFile } from "./unit-file.ts";

/** One assignment; in the value of one that goes on over several lines, backslashes and line ends stand as written. */
export interface UnitOption {
  readonly section: string;
  readonly name: string;
  readonly value: string;
}

/**
 * A unit's text and its drop-ins, as one list: sections in order of first appearance, in each the assignments in order.
 * The texts are named by their places in the list; refused as `parseUnitFile` refuses them.
 */
export function optionsOfTexts(texts: readonly string[]): Checked<readonly UnitOption[]> {
  const files: UnitFile[] = [];
  for (const [index, text] of texts.entries()) {
    const parsed = parseUnitFile(text, String(index));
    if (!parsed.ok) return parsed;
    files.push(parsed.value);
  }
  return valid(inSections(concatenate(files).assignments).map(optionOf));
}

/** A text that says what the options say, and that text as it is read again. */
export interface OptionsText {
  readonly text: string;
  readonly parsed: UnitFile;
  /** Equal for lists of options that mean the same unit. */
  readonly canonical: string;
}

/**
 * fleet's canonical text of the options. Refused with "unit-options" when that would be read as something else: a value
 * with a line end of its own would make options of its lines, a section "A]" would be none. `file` is named in problems.
 */
export function textOfOptions(options: readonly UnitOption[], file: string): Checked<OptionsText> {
  const given = options.map(({ section, name, value }): Assignment => ({
    section,
    key: name,
    value,
    written: value,
    line: 0,
  }));
  const text = canonicalText({ assignments: given, sections: [] });
  const parsed = parseUnitFile(text, file);
  if (!parsed.ok) return parsed;
  const strays = options.filter((option) => !isOne(option));
  if (strays.length === 0) return valid({ text, parsed: parsed.value, canonical: canonicalText(parsed.value) });
  return invalid(
    ...strays.map(
      ({ section, name }) =>
        new Problem("unit-options", `Cannot write option ${quoted(name)} in section ${quoted(section)} as one option`, {
          hint: "A section and a name are plain words; every line of a value but the last ends in a backslash",
          at: { file },
        }),
    ),
  );
}

/** Whether the option is read as itself and nothing else, whatever stands after it. */
function isOne({ section, name, value }: UnitOption): boolean {
  const parsed = parseUnitFile(`[${section}]\n${name}=${value}\nX-After=yes\n`, "");
  if (!parsed.ok) return false;
  const [own, after, ...more] = parsed.value.assignments;
  const isOwn = own?.section === section && own.key === name;
  const isAfter = after?.section === section && after.key === "X-After" && after.value === "yes";
  return isOwn && isAfter && more.length === 0 && parsed.value.sections.length === 1;
}

/** The canonical text of a unit and its drop-ins together, as `textOfOptions` has it of the same options. */
export function canonicalOfTexts(texts: readonly string[]): Checked<string> {
  const options = optionsOfTexts(texts);
  if (!options.ok) return options;
  const text = textOfOptions(options.value, "");
  return text.ok ? valid(text.value.canonical) : text;
}

function optionOf({ section, key, written }: Assignment): UnitOption {
  return { section, name: key, value: written };
}

/** Sections in order of first appearance. */
function inSections(assignments: readonly Assignment[]): readonly Assignment[] {
  const bySection = new Map<string, Assignment[]>();
  for (const each of assignments) {
    const own = bySection.get(each.section);
    if (own === undefined) bySection.set(each.section, [each]);
    else own.push(each);
  }
  return [...bySection.values()].flat();
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 64));
}
