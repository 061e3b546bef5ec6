// flotilla bootstrap --validate FILE...: what would refuse these files at a boot, before there is a machine to refuse them.
import { type ProblemRecord, describeProblem, toRecord } from "../domain/problem.ts";
import type { Finding, Severity, UserDataReading } from "../domain/user-data.ts";
import { terminalText } from "../report/report.ts";
import { readUserData } from "../userdata/userdata.ts";
import { exitCodes } from "./exit-codes.ts";
import { jsonText } from "./print.ts";
import type { Tools } from "./tools.ts";

export interface UserDataFile {
  /** As the user calls it; "-" is standard input. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Validation {
  readonly file: UserDataFile;
  readonly reading: UserDataReading;
}

/** Reads and checks each file, in order. Addresses are not known: tokens are named, and nothing is refused for them. */
export async function validateFiles(files: readonly UserDataFile[]): Promise<readonly Validation[]> {
  const found: Validation[] = [];
  for (const file of files) found.push({ file, reading: await readUserData(file.bytes, { file: file.name }) });
  return found;
}

export interface ValidateOptions {
  /** One JSON document instead of lines. */
  readonly json?: boolean;
  /** The document itself with numbered marks, and what each says below it. */
  readonly annotate?: boolean;
  /** Also what is only worth knowing. */
  readonly verbose?: boolean;
}

/**
 * Prints findings on stdout like a compiler (`FILE:LINE:COLUMN: error: MESSAGE (HINT)`), how many on stderr. Resolves with
 * 1 when there is an error; warnings alone refuse nothing.
 */
export async function validateUserData(
  { stdout, stderr }: Pick<Tools, "stdout" | "stderr">,
  files: readonly UserDataFile[],
  { json = false, annotate = false, verbose = false }: ValidateOptions = {},
): Promise<number> {
  const found = await validateFiles(files);
  const findings = found.flatMap(({ reading }) => reading.findings);
  if (json) await stdout.write(document(found));
  else {
    const wanted = (finding: Finding): boolean => verbose || finding.severity !== "info";
    const texts = found.map(({ file, reading }) =>
      annotate ? annotated(file, reading.findings.filter(wanted)) : linesOf(reading.findings.filter(wanted)),
    );
    await stdout.write(terminalText(texts.join("")));
    const sum = [count(number(findings, "error"), "error"), count(number(findings, "warning"), "warning")].join(", ");
    await stderr.write(`${count(files.length, "file")} checked: ${sum}\n`);
  }
  return number(findings, "error") === 0 ? exitCodes.ok : exitCodes.failure;
}

function document(found: readonly Validation[]): string {
  const findings = found.flatMap(({ reading }) => reading.findings);
  return jsonText({
    files: found.map(({ file, reading }) => ({
      file: file.name,
      valid: reading.userData !== undefined,
      ...(reading.userData === undefined ? {} : { kind: reading.userData.kind }),
      addresses: [...reading.tokens.keys()],
      findings: reading.findings.map(({ severity, problem }) => ({ severity, ...toRecord(problem) })),
    })),
    errors: number(findings, "error"),
    warnings: number(findings, "warning"),
  });
}

function linesOf(findings: readonly Finding[]): string {
  return findings.map(({ severity, problem }) => `${lineOf(severity, toRecord(problem))}\n`).join("");
}

/** The severity stands between place and message, where editors look for it. */
function lineOf(severity: Severity, record: ProblemRecord): string {
  const message = `${severity}: ${record.message}`;
  return describeProblem({ ...record, message }).replaceAll("\n", " ");
}

/** Every line of the document, those with findings marked behind: `# E1,W2`. */
function annotated({ name, bytes }: UserDataFile, findings: readonly Finding[]): string {
  const isText = bytes[0] !== 0x1f && !bytes.includes(0);
  const marks = findings.map(({ severity }, index) => `${severity.slice(0, 1).toUpperCase()}${index + 1}`);
  const lines = (isText ? Buffer.from(bytes).toString("utf8").trimEnd().split("\n") : []).map((line, index) => {
    const here = marks.filter((_, at) => {
      const place = findings[at]?.problem.at;
      return place?.file === name && place.line === index + 1;
    });
    return here.length === 0 ? line : `${line}\t\t# ${here.join(",")}`;
  });
  const notes = findings.map(
    ({ severity, problem }, index) => `# ${marks[index] ?? ""}: ${lineOf(severity, toRecord(problem))}`,
  );
  return `${[...lines, ...(notes.length === 0 ? [] : ["", ...notes])].join("\n")}\n`;
}

function number(findings: readonly Finding[], severity: Severity): number {
  return findings.filter((finding) => finding.severity === severity).length;
}

function count(many: number, noun: string): string {
  return `${many} ${noun}${many === 1 ? "" : "s"}`;
}
