// The hash by which a unit's content is known: fleet's SHA-1 over the canonical text, and over drop-ins where there are
// any. Given to desired/ and to whoever reads units back from a disk.
import { createHash } from "node:crypto";
import type { UnitHash } from "../domain/names.ts";
import { type Assignment, type UnitFile, canonicalText, parseUnitFile } from "./unit-file.ts";

/**
 * The hash of a unit from its text and its drop-ins, in the order in which systemd applies them. Without drop-ins it is
 * fleet's own value. Comments, blank lines and the grouping of sections do not count; every assignment does. A text that
 * cannot be read (a file damaged on disk) has a hash too, unlike that of any text that can.
 */
export function unitHash(text: string, dropIns: readonly { readonly name: string; readonly text: string }[]): UnitHash {
  return digest(
    hashedForm(text),
    dropIns.map((dropIn) => ({ name: dropIn.name, form: hashedForm(dropIn.text) })),
  );
}

/** The same hash from texts that have been parsed already. */
export function parsedUnitHash(
  file: UnitFile,
  dropIns: readonly { readonly name: string; readonly file: UnitFile }[],
): UnitHash {
  return digest(
    canonicalText(file),
    dropIns.map((dropIn) => ({ name: dropIn.name, form: canonicalText(dropIn.file) })),
  );
}

/**
 * The hash of what systemd makes of a unit: as `unitHash`, without the sections that it leaves to others (`[X-...]`,
 * systemd.unit(5)), and with how its stop is fenced. Units that differ only in what flotilla reads have the same.
 */
export function systemdHash({ text, dropIns, fence }: SystemdText): UnitHash {
  const forms = dropIns.map((dropIn) => ({ name: dropIn.name, form: hashedForm(dropIn.text, isSystemds) }));
  const fenced = fence === undefined ? [] : [{ name: "", form: String(fence.stepMs) }];
  return digest(hashedForm(text, isSystemds), [...forms, ...fenced]);
}

/** What is written of a unit for systemd. */
export interface SystemdText {
  readonly text: string;
  readonly dropIns: readonly { readonly name: string; readonly text: string }[];
  readonly fence?: { readonly stepMs: number } | undefined;
}

const isSystemds = ({ section }: Assignment): boolean => !section.startsWith("X-");

/** SHA-1 of bytes, or of a text in UTF-8: the ids of etcd's members and clusters are made of it. 20 bytes. */
export function sha1(data: string | Uint8Array): Uint8Array {
  return createHash("sha1").update(data).digest();
}

function digest(form: string, dropIns: readonly { readonly name: string; readonly form: string }[]): UnitHash {
  const hash = createHash("sha1").update(form);
  // A NUL stands in neither texts nor names, so no two different lists of drop-ins give the same bytes.
  for (const dropIn of dropIns) hash.update(`\0${dropIn.name}\0${dropIn.form}`);
  return hash.digest("hex") as UnitHash;
}

/** Begins with two NULs for a text that cannot be read, which no canonical text does. */
function hashedForm(text: string, counts: (assignment: Assignment) => boolean = () => true): string {
  const parsed = parseUnitFile(text, "");
  if (parsed.ok)
    return canonicalText({ ...parsed.value, assignments: parsed.value.assignments.filter((each) => counts(each)) });
  return `\0\0${createHash("sha1").update(text).digest("hex")}`;
}
