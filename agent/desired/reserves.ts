// What a unit takes of a machine: the syntax of MemoryReserve= and CPUReserve=, and the unit's own limits, which stand in
// for them. Given to options.ts. Rounds up: what is reserved is never less than what was written. Pure.
import { type UnitName, type UnitType, unitNameParts } from "../domain/names.ts";
import type { MemoryReserve } from "../domain/unit.ts";
import { type UnitFile, concatenate, lastValue } from "../text/unit-file.ts";
import type { Read } from "./option-values.ts";

/** Of Linux. */
const maxProcessors = 8_192;

/** systemd's, by 1024 each. */
const letters = "KMGTPE";

const number = String.raw`[0-9]{1,20}(?:\.[0-9]{1,20})?`;
const sizeSyntax = new RegExp(`^(${number})[ \\t]*([BKMGTPE])?$`);
/** As people write sizes elsewhere. */
const looseSizeSyntax = new RegExp(`^(${number})[ \\t]*([kmgtpe])i?b?$`, "i");
const percentSyntax = new RegExp(`^(${number})%$`);
const processorSyntax = new RegExp(`^(${number})(%?)$`);
const milliSyntax = /^([0-9]{1,7})m$/;

/** A size (`512M`, in bytes without a letter) or a share of the machine's memory (`25%`). "none" for a zero. */
export function readMemory(text: string): Read<MemoryReserve | "none"> {
  const share = percentSyntax.exec(text)?.[1];
  if (share !== undefined) {
    const percent = Number(share);
    if (percent > 100) return { fix: "No machine has more than 100% of its memory" };
    return { value: percent === 0 ? "none" : { percent } };
  }
  const [, amount, letter = "B"] = sizeSyntax.exec(text) ?? [];
  if (amount === undefined) return { fix: sizeFix(text) };
  const power = letters.indexOf(letter) + 1; // "B" is none of them
  const bytes = Math.ceil(Number(amount) * 1024 ** power);
  if (!Number.isSafeInteger(bytes)) return { fix: "It must be less than 8P" };
  return { value: bytes === 0 ? "none" : { bytes } };
}

/** Thousandths of a processor: `1.5` and `150%` are 1500. */
export function readProcessors(text: string): Read<number> {
  const [, amount = "", unit] = processorSyntax.exec(text) ?? [];
  if (unit === undefined) {
    if (text === "infinity") return { fix: nothingReserved };
    const thousandths = milliSyntax.exec(text)?.[1];
    if (thousandths !== undefined) return { fix: `Write it in processors: ${Number(thousandths) / 1000}` };
    return { fix: "Write processors, as in 1.5, or percent of one, as in 150%; 0 reserves nothing" };
  }
  const milliCpus = shifted(amount, unit === "%" ? 1 : 3);
  if (milliCpus > maxProcessors * 1000) return { fix: `Linux has at most ${maxProcessors} processors` };
  return { value: milliCpus };
}

/**
 * MemoryMax= of the unit's own section, as the last of its texts that sets it has it. What systemd would not take for a
 * limit is none here either.
 */
export function ownMemory(name: UnitName, texts: readonly UnitFile[]): MemoryReserve | undefined {
  const limit = ownLimit("MemoryMax", { name, texts });
  const read = limit === undefined ? undefined : readMemory(limit);
  return read !== undefined && "value" in read && read.value !== "none" ? read.value : undefined;
}

/** The same of CPUQuota=, in thousandths of a processor; undefined rather than 0. */
export function ownProcessors(name: UnitName, texts: readonly UnitFile[]): number | undefined {
  const quota = ownLimit("CPUQuota", { name, texts });
  if (quota?.endsWith("%") !== true) return undefined;
  const read = readProcessors(quota);
  return "value" in read && read.value !== 0 ? read.value : undefined;
}

/** The section in which a unit of this type has its limits; other types run nothing. */
const limitSections: Readonly<Partial<Record<UnitType, string>>> = {
  service: "Service",
  slice: "Slice",
  socket: "Socket",
  mount: "Mount",
  swap: "Swap",
};

function ownLimit(
  key: "MemoryMax" | "CPUQuota",
  { name, texts }: { readonly name: UnitName; readonly texts: readonly UnitFile[] },
): string | undefined {
  const section = limitSections[unitNameParts(name).type];
  const [only] = texts;
  if (section === undefined || only === undefined) return undefined;
  return lastValue(texts.length === 1 ? only : concatenate(texts), { section, key });
}

const nothingReserved = "Write 0 to reserve nothing";

function sizeFix(text: string): string {
  if (text === "infinity") return nothingReserved;
  const [, amount, letter] = looseSizeSyntax.exec(text) ?? [];
  if (amount !== undefined && letter !== undefined) {
    return `Write ${amount}${letter.toUpperCase()}; letters count by 1024, as in systemd`;
  }
  return "Write bytes, a number with K, M, G or T, as in 512M, or a share of the machine's memory, as in 25%";
}

/** A decimal number with its point moved to the right, rounded up; by its digits, so that it is exact. */
function shifted(amount: string, places: number): number {
  const [whole = "", fraction = ""] = amount.split(".");
  const rest = fraction.slice(places);
  return Number(whole + fraction.slice(0, places).padEnd(places, "0")) + (/[1-9]/.test(rest) ? 1 : 0);
}
