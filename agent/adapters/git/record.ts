// The last good head, in a file of its own beside the store: written only after the commit was found whole. Given to git.ts.
// git's own refs cannot say that: they are moved before the objects arrive.
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { type CommitId, parseCommitId } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import { type FileCalls, fileCalls, makeFolder } from "../durable-files.ts";
import { errorCode, writeProblem } from "./failures.ts";
import { writeWhole } from "./files.ts";

export interface HeadRecord {
  readonly commit: CommitId;
  /** The shown address and the branch that it was fetched from: a head of another repository is none. */
  readonly repository: string;
  readonly branch: string;
}

/** Undefined when there is none or when it cannot be understood: the next fetch writes it anew. */
export async function readHead(path: string): Promise<HeadRecord | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return undefined;
    throw new Problem("git-damaged", `Cannot read "${path}"`, {
      hint: "Check the disk, and who may read it",
      cause: error,
    });
  }
  const fields = parseObject(text);
  const commit = parseCommitId(String(fields?.["commit"]));
  const { repository, branch } = fields ?? {};
  if (!commit.ok || typeof repository !== "string" || typeof branch !== "string") return undefined;
  return { commit: commit.value, repository, branch };
}

export async function writeHead(path: string, record: HeadRecord, calls: FileCalls = fileCalls): Promise<void> {
  try {
    await makeFolder(dirname(path), calls);
    await writeWhole(path, `${JSON.stringify(record)}\n`, calls);
  } catch (error) {
    throw writeProblem(error, path);
  }
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined; // a file that this program did not write whole
  }
}
