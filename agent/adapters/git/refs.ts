// Which branches a repository has: asks a transport and reads git's packet lines. Given to the poll, which runs in the main
// thread and must not load a git library for a question of 300 bytes. Formats: gitprotocol-pack(5), gitprotocol-v2(5).
import { type CommitId, parseCommitId } from "../../domain/names.ts";
import { Problem } from "../../domain/problem.ts";
import { complaint } from "./failures.ts";
import type { Transport } from "./transport.ts";

const heads = "refs/heads/";
/**
 * What the git library takes every branch for. It keeps the name as a path: "release" and "release/2" could not follow one
 * another in one store.
 */
export const offeredBranch = "units";
/** How many branches a message names. */
const maxNamed = 5;

export interface Question {
  readonly branch: string;
  /** The address for messages. */
  readonly shown: string;
  readonly signal: AbortSignal;
}

/** The newest commit of the branch. Rejects with "git-branch" (which names what is there) or what the transport rejects with. */
export async function askForBranch(transport: Transport, question: Question): Promise<CommitId> {
  const { branch, shown, signal } = question;
  const problem = checkBranchName(branch);
  if (problem !== undefined) throw problem;
  const advertised = readAdvertisement(await transport.advertise(signal), shown);
  if (advertised.version !== 2) return choose(advertised.branches, question);
  const exact = await listRefs(transport, { prefix: heads + branch, shown, signal });
  if (exact.has(branch)) return choose(exact, question);
  return choose(await listRefs(transport, { prefix: heads, shown, signal }), question);
}

/**
 * The same answer for the git library: what the server offers, cut down to this one branch under one name. The library never
 * sees a name that the server or the settings chose, nor stumbles over a HEAD that points to a branch which is not there.
 */
export async function advertiseBranch(transport: Transport, question: Question): Promise<Uint8Array> {
  const { shown, signal } = question;
  const { branches, capabilities } = readAdvertisement(await transport.advertise(signal), shown);
  const id = choose(branches, question);
  const offered = capabilities.filter((each) => !each.startsWith("symref=")).join(" ");
  const name = heads + offeredBranch;
  return Buffer.from(
    `${packet("# service=git-upload-pack\n")}0000${packet(`${id} HEAD\0${offered} symref=HEAD:${name}\n`)}` +
      `${packet(`${id} ${name}\n`)}0000`,
  );
}

/**
 * A whole answer of upload-pack in one piece, read through to its end: a cut transfer, or an error that the server put in
 * it, is told from a damaged store here.
 */
export function checkAnswer(chunks: readonly Uint8Array[], shown: string): Uint8Array {
  const bytes = Buffer.concat(chunks);
  let ended = false;
  for (let at = 0; at < bytes.length;) {
    const length = packetLength(bytes, at);
    if (length === undefined) break;
    ended = length === 0;
    const refused = length > 5 && (bytes[at + 4] === 3 || bytes.toString("latin1", at + 4, at + 8) === "ERR ");
    if (refused)
      throw new Problem("git-unreachable", `Cannot get the commits of "${shown}"`, {
        hint: "The server gave up; it is tried again later",
        cause: complaint(bytes.toString("utf8", at + (bytes[at + 4] === 3 ? 5 : 8), at + length)),
      });
    at += Math.max(4, length);
  }
  if (!ended)
    throw new Problem("git-unreachable", `Cannot read the whole answer of "${shown}"`, {
      hint: "The connection was cut; it is tried again later",
    });
  return bytes;
}

interface Advertisement {
  readonly version: 0 | 2;
  readonly branches: ReadonlyMap<string, string>;
  readonly capabilities: readonly string[];
}

function readAdvertisement(chunks: readonly Uint8Array[], shown: string): Advertisement {
  const lines = readPackets(chunks, shown).map((line) => line.replace(/\n$/, ""));
  if (lines.some((line) => /(^|[ \0])object-format=sha256\b/.test(line)))
    throw new Problem("git-repository", `Cannot read "${shown}"`, {
      hint: "Repositories with SHA-256 ids are not supported",
    });
  if (lines.includes("version 2")) return { version: 2, branches: new Map(), capabilities: [] };
  const refs = lines.filter((line) => !line.startsWith("# "));
  // The first ref carries the capabilities behind a NUL.
  return {
    version: 0,
    branches: parseRefs(refs.map((line) => line.split("\0")[0] ?? "")),
    capabilities: (refs[0]?.split("\0")[1] ?? "").split(" ").filter((each) => each !== ""),
  };
}

async function listRefs(
  transport: Transport,
  { prefix, shown, signal }: { prefix: string; shown: string; signal: AbortSignal },
): Promise<ReadonlyMap<string, string>> {
  const body = `${packet("command=ls-refs\n")}0001${packet(`ref-prefix ${prefix}\n`)}0000`;
  return parseRefs(readPackets(await transport.exchange(Buffer.from(body), signal), shown));
}

function parseRefs(lines: readonly string[]): ReadonlyMap<string, string> {
  const branches = new Map<string, string>();
  for (const line of lines) {
    const match = /^([0-9a-f]{40}) refs\/heads\/([^\n ]+)\n?$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) branches.set(match[2], match[1]);
  }
  return branches;
}

function choose(branches: ReadonlyMap<string, string>, { branch, shown }: Question): CommitId {
  const id = parseCommitId(branches.get(branch) ?? "");
  if (id.ok) return id.value;
  if (branches.size === 0)
    throw new Problem("git-branch", `Cannot find branch "${branch}" in "${shown}"`, {
      hint: "The repository is empty; push a commit to it",
    });
  const names = [...branches.keys()].sort((a, b) => distance(a, branch) - distance(b, branch) || (a < b ? -1 : 1));
  const shownNames = names.slice(0, maxNamed).map((name) => `"${name.replace(/\p{Cc}/gu, "?").slice(0, 80)}"`);
  const more = names.length > maxNamed ? ` and ${names.length - maxNamed} more` : "";
  const nearest = names[0];
  const meant =
    nearest !== undefined && distance(nearest, branch) <= Math.max(2, branch.length / 3)
      ? `Did you mean ${shownNames[0] ?? ""}? `
      : "";
  throw new Problem("git-branch", `Cannot find branch "${branch}" in "${shown}"`, {
    hint: `${meant}It has ${shownNames.join(", ")}${more}`,
  });
}

/** git-check-ref-format(1), for one branch. */
export function checkBranchName(branch: string): Problem | undefined {
  const bad =
    branch === "" ||
    branch.length > 200 ||
    /[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\/|^[-/.]|[/.]$|\/\.|\.lock(\/|$)/u.test(branch) ||
    branch === "@";
  return bad
    ? new Problem("git-branch", `Cannot use the branch name "${branch.slice(0, 80).replace(/\p{Cc}/gu, "?")}"`, {
        hint: "Write a branch's name as git shows it, such as main, without refs/heads/",
      })
    : undefined;
}

function packet(text: string): string {
  return (Buffer.byteLength(text) + 4).toString(16).padStart(4, "0") + text;
}

/** All data packets as text; flush and delimiter packets are left out. */
function readPackets(chunks: readonly Uint8Array[], shown: string): string[] {
  const bytes = Buffer.concat(chunks);
  const lines: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = packetLength(bytes, at);
    if (length === undefined)
      throw new Problem("git-repository", `Cannot understand the answer of "${shown}"`, {
        hint: "It is cut short, or not git's; check the address",
      });
    const line = length <= 4 ? "" : bytes.toString("utf8", at + 4, at + length);
    if (line.startsWith("ERR "))
      throw new Problem("git-repository", `Cannot read "${shown}"`, {
        hint: "Check the address, and that the account may read it",
        cause: complaint(line.slice(4)),
      });
    if (line !== "") lines.push(line);
    at += Math.max(4, length);
  }
  return lines;
}

/** The length of the packet that begins there, with its header; 0 to 2 are marks without data. Undefined: not a whole packet. */
function packetLength(bytes: Buffer, at: number): number | undefined {
  const header = bytes.toString("latin1", at, at + 4);
  if (!/^[0-9a-f]{4}$/i.test(header)) return undefined;
  const length = Number.parseInt(header, 16);
  return length === 3 || at + length > bytes.length ? undefined : length;
}

/** Levenshtein distance of two short names, for a suggestion; long ones are simply far. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8 || a.length > 64 || b.length > 64) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(
        Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)),
      );
    row = next;
  }
  return row[b.length] ?? Infinity;
}
