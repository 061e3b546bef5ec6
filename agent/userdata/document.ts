// One cloud-config part: its YAML, what is wrong with that, and what can be saved of it so that somebody can log in.
import { type YamlFault, parseYaml } from "../text/yaml.ts";
import { rootField } from "./fields.ts";
import { mergeMaps } from "./merge.ts";
import { Notes } from "./notes.ts";
import { shapeDocument, tellTemplate } from "./shape.ts";
import type { Source } from "./source.ts";
import { findMarksInBroken } from "./templates.ts";
import type { MapValue } from "./values.ts";

/** Template marks that are told of one document that is no YAML. */
const maxMarksShown = 20;
/** Keys that are read of a document that is no YAML, each on its own: more are a mistake, and would take the time of all. */
const maxSavedKeys = 32;
/** What lets somebody log in: read also from a document that is broken elsewhere. */
const reachKeys =
  /^(hostname|fqdn|prefer[-_]fqdn[-_]over[-_]hostname|preserve[-_]hostname|ssh[-_]authorized[-_]keys|users|groups)[ \t]*:/;

/** The document's values; of one that is no YAML those that let somebody log in. */
export function readDocument(source: Source, notes: Notes): MapValue | undefined {
  const parsed = parseYaml(source.text);
  if (!parsed.ok) {
    tellFault(source, parsed.fault, notes);
    return saveReach(source);
  }
  const [first, second] = parsed.documents;
  if (second !== undefined)
    notes.error("documents", "Cannot take more than one YAML document", {
      hint: 'Everything below this "---" would be left out; take the line away, or send several MIME parts',
      at: source.at(separatorAbove(source.text, second.offset)),
    });
  if (first === undefined) return undefined;
  if (first.kind !== "mapping") {
    const isNothing = first.kind === "scalar" && first.text === "";
    if (!isNothing)
      notes.error("shape", `Cannot take a ${first.kind} for a cloud-config`, {
        hint: 'It must be keys with values: "hostname: web-1"',
        at: source.at(first.offset),
      });
    return undefined;
  }
  return shapeDocument(first, rootField(), { source, notes });
}

function separatorAbove(text: string, offset: number): number {
  const at = text.lastIndexOf("\n---", offset);
  return at < 0 ? offset : at + 1;
}

function tellFault(source: Source, { reason, offset }: YamlFault, notes: Notes): void {
  const marks = findMarksInBroken(source.text);
  for (const { text, of, offset: at } of marks.slice(0, maxMarksShown))
    tellTemplate(notes, { text, of, at: source.at(at), isSure: true });
  notes.error("yaml", `Cannot read this as YAML: ${reason}`, {
    hint:
      marks.length > 0 ? "A template that was not filled in is seldom YAML" : faultHint(source.text, reason, offset),
    at: source.at(offset),
  });
}

function faultHint(text: string, reason: string, offset: number): string {
  const start = text.lastIndexOf("\n", Math.max(0, offset - 1)) + 1;
  const line = text.slice(start).split("\n", 1)[0] ?? "";
  if (reason.includes("tab") || /^ *\t/.test(line)) return "Indent with blanks, never with tabs";
  if (/:\s+[%@`]/.test(line)) return "Text that begins with %, @ or ` needs quotes";
  if (/:\s+[^"'[{|>&*!#\s][^\n]*:\s/.test(line)) return 'Text that holds ": " needs quotes';
  if (reason.includes("alias")) return "Text that begins with * needs quotes; an anchor stands before its alias";
  if (reason.includes("indentation"))
    return "Keys of one mapping begin in one column, and deeper than the key above them";
  if (reason.includes("unexpected end")) return "A quote or bracket is not closed";
  return "Look at this line and the one above it";
}

/** Top-level keys stand in column 1: those of `reachKeys` are read each on its own, in their place. */
function saveReach(source: Source): MapValue | undefined {
  const lines = source.text.split("\n");
  const starts = lines.flatMap((line, index) => (/^[^\s#-]/.test(line) ? [index] : []));
  // what is wrong with them is said once the document as a whole can be read
  const unsaid = new Notes();
  const blocks = starts.map((start, at) => ({ start, end: starts[at + 1] ?? lines.length }));
  const reach = blocks.filter(({ start }) => reachKeys.test(lines[start] ?? "")).slice(0, maxSavedKeys);
  const saved = reach.flatMap(({ start, end }) => {
    const text = `${"\n".repeat(start)}${lines.slice(start, end).join("\n")}`;
    const parsed = parseYaml(text);
    const document = parsed.ok ? parsed.documents[0] : undefined;
    if (document === undefined) return [];
    return shapeDocument(document, rootField(), { source: source.with(text), notes: unsaid }) ?? [];
  });
  return mergeMaps(saved, unsaid);
}
