// Steps "file", "block", "variables", "link", "remove": what stands in the file system. Given to setup.ts; hostname.ts and
// storage.ts take the check of a path.
import { access, constants, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { type FileWish, type Step, bootMark } from "../../domain/first-boot.ts";
import { Problem, asProblem } from "../../domain/problem.ts";
import { sha256 } from "../../text/digest.ts";
import { findAccount, findGroup, groupId, userId } from "./accounts.ts";
import { type Around, type Doer, at, codeOf, hintFor } from "./around.ts";
import { blockOf, bytesOf, readable, variableLines, withBlock, withVariables, written } from "./blocks.ts";
import {
  type Spot,
  type Standing,
  atSpot,
  pathProblem,
  removeAt,
  renameAt,
  replaceFile,
  replaceLink,
  standing,
} from "./places.ts";

/** Left free on a file system, whatever is written. */
const spareBytes = 1024 * 1024;
/** Of a content, for a diff. */
const shownBytes = 256 * 1024;
const sudoersTimeoutMs = 10_000;
const maxAside = 100;

export const file: Doer<"file"> = {
  async look({ file: wish }, around) {
    const found = await find(around, wish.path, { followLast: false });
    const ids = await idsOf(around, wish);
    const goal = goalOf(wish, found);
    const same =
      found.kind === "file" &&
      found.content !== undefined &&
      Buffer.compare(goal, found.content) === 0 &&
      (wish.append || (found.mode === wish.mode && found.uid === ids?.uid && found.gid === ids.gid));
    if (wish.isSecret) return { same, before: undefined, after: undefined };
    if (found.kind !== "file") return { same, before: other(found), after: shown(goal) };
    const now = { mode: found.mode, ...(await ownersOf(around, found)) };
    // An appended text leaves mode and owner of a file that is there
    const [was, is] = wish.append || headOf(now) === headOf(wish) ? ["", ""] : [headOf(now), headOf(wish)];
    // What others may not read may be a secret, also where the new text is none
    const before = (found.mode & 0o004) === 0 ? "(not shown: not everybody may read it)\n" : shown(found.content);
    return { same, before: was + before, after: is + shown(goal) };
  },

  async check({ file: wish, at: place }, around, before) {
    const earlier = before.reduce((sum, step) => sum + (step.kind === "file" ? step.file.content.length : 0), 0);
    return [
      ...(await checkFile(around, { path: wish.path, sizeBytes: wish.content.length + earlier })),
      ...(await checkOwner(around, wish, before)),
      ...(await checkSudoers(around, wish, await seen(around, wish.path, { followLast: false }))),
    ].map((problem) => placed(problem, place));
  },

  async apply({ file: wish, at: place }, around) {
    const ids = await idsOf(around, wish);
    if (ids === undefined) throw placed(ownerProblem(wish), place);
    await atSpot(wish.path, { root: around.root, create: true, followLast: false }, async (spot) => {
      const found = refuseFolder(wish.path, await standing(spot));
      for (const problem of await checkSudoers(around, wish, found)) throw placed(problem, place);
      const keeps = wish.append && found.kind === "file" ? found : undefined;
      await replaceFile(spot, {
        content: goalOf(wish, found),
        mode: keeps?.mode ?? wish.mode,
        uid: keeps?.uid ?? ids.uid,
        gid: keeps?.gid ?? ids.gid,
      });
    });
    return [wish.path];
  },
};

/** What the whole file will hold. An appended text is there once: a file that has it already is left alone. */
function goalOf({ append, content }: FileWish, found: Standing): Uint8Array {
  if (!append || found.kind !== "file" || found.content === undefined) return content;
  return found.content.includes(Buffer.from(content)) ? found.content : Buffer.concat([found.content, content]);
}

export const block: Doer<"block"> = {
  async look({ path, name, lines }, around) {
    const text = textOf(await find(around, path, { followLast: true }));
    const before = blockOf(text ?? "", name);
    return {
      same: withBlock(text ?? "", name, written(lines)) === (text ?? ""),
      before: before === undefined ? undefined : readable(joined(before)),
      after: lines.length === 0 ? undefined : joined(lines),
    };
  },
  check: async ({ path, lines, at: place }, around) =>
    (await checkFile(around, { path, sizeBytes: joined(lines).length, followLast: true })).map((problem) =>
      placed(problem, place),
    ),
  apply: ({ path, name, lines }, around) => edit(around, { path }, (text) => withBlock(text, name, written(lines))),
};

export const variables: Doer<"variables"> = {
  async look({ path, base, values }, around) {
    const own = textOf(await find(around, path, { followLast: true }));
    const text = own ?? (await baseText(around, base));
    const names = Object.keys(values);
    const goal = withVariables(text, writtenValues(values));
    return {
      same: goal === own,
      before: own === undefined ? undefined : readable(joined(variableLines(own, names))),
      after: readable(joined(variableLines(goal, names))),
    };
  },
  check: async ({ path, at: place }, around) =>
    (await checkFile(around, { path, sizeBytes: 0, followLast: true })).map((problem) => placed(problem, place)),
  async apply({ path, base, values }, around) {
    const start = await baseText(around, base);
    return edit(around, { path, start }, (text) => withVariables(text, writtenValues(values)));
  },
};

export const link: Doer<"link"> = {
  async look({ path, target }, around) {
    const found = await find(around, path, { followLast: false });
    const now = found.kind === "link" ? `-> ${found.target}` : found.kind === "file" ? "a file" : other(found);
    return { same: found.kind === "link" && found.target === target, before: now, after: `-> ${target}` };
  },
  check: async ({ path, at: place }, around) =>
    (await checkFile(around, { path, sizeBytes: 0 })).map((problem) => placed(problem, place)),
  async apply({ path, target }, around) {
    await atSpot(path, { root: around.root, create: true, followLast: false }, async (spot) => {
      const found = refuseFolder(path, await standing(spot));
      if (found.kind === "link" && found.target === target) return;
      if (found.kind === "file" && found.content?.length !== 0) await setAside(spot);
      await replaceLink(spot, target);
    });
    return [path];
  },
};

export const remove: Doer<"remove"> = {
  async look({ path }, around) {
    const found = await find(around, path, { followLast: false });
    // What it holds is not shown: nobody knows any more whether it was a secret
    return {
      same: found.kind === "nothing",
      before: found.kind === "nothing" ? undefined : `a ${found.kind}`,
      after: undefined,
    };
  },
  async check({ path, at: place }, around) {
    return (await checkFile(around, { path, sizeBytes: 0 })).map((problem) => placed(problem, place));
  },
  async apply({ path, content, at: place }, around) {
    const gone = await atSpot(path, { root: around.root, create: false, followLast: false }, async (spot) => {
      const found = content === undefined ? undefined : await standing(spot);
      if (found !== undefined && found.kind !== "nothing" && digestOf(found) !== content)
        throw new Problem("setup-changed", `Leaving ${path}: it does not hold what was written there`, {
          hint: "Somebody changed it in the meantime; remove it by hand if nobody needs it",
          at: place,
        });
      return removeAt(spot);
    });
    return gone === true ? [path] : [];
  },
};

export const unmask: Doer<"unmask"> = {
  async look({ path }, around) {
    const isMask = masks(await find(around, path, { followLast: false }));
    return { same: !isMask, before: isMask ? "masked\n" : undefined, after: undefined };
  },
  check: async ({ path, at: place }, around) =>
    (await checkFile(around, { path, sizeBytes: 0 })).map((problem) => placed(problem, place)),
  async apply({ path }, around) {
    const gone = await atSpot(path, { root: around.root, create: false, followLast: false }, async (spot) =>
      masks(await standing(spot)) ? removeAt(spot) : false,
    );
    return gone === true ? [path] : [];
  },
};

/** An empty file or a link to /dev/null (systemd.unit(5)). */
function masks(found: Standing): boolean {
  if (found.kind === "link") return found.target === "/dev/null";
  return found.kind === "file" && found.content?.length === 0;
}

/** Whether a file may be replaced: a boot made it, or it says nothing. */
export async function isOurs(around: Around, path: string): Promise<boolean> {
  const text = textOf(await seen(around, path, { followLast: true }));
  if (text === undefined) return false;
  return text.startsWith(bootMark) || text.split("\n").every((line) => /^\s*([#;].*)?$/.test(line));
}

/** Undefined: no file, or one too large to be ours. */
function digestOf(found: Standing): string | undefined {
  return found.kind === "file" && found.content !== undefined ? sha256(found.content) : undefined;
}

/** SHA-256 of those paths that are files. */
export async function contentsOf(around: Around, paths: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const contents = new Map<string, string>();
  for (const path of paths) {
    const digest = digestOf(await seen(around, path, { followLast: false }));
    if (digest !== undefined) contents.set(path, digest);
  }
  return contents;
}

/** `NAME.before-flotilla`, or the next free one of that kind. */
async function setAside(spot: Spot): Promise<void> {
  for (let number = 1; number <= maxAside; number++) {
    const name = `${spot.name}.before-flotilla${number === 1 ? "" : `-${number}`}`;
    if ((await standing({ ...spot, name })).kind !== "nothing") continue;
    await renameAt(spot, name);
    return;
  }
  throw pathProblem(`${spot.folderPath}/${spot.name}`, `there are ${maxAside} files set aside already`);
}

/** Rewrites a text file in place, keeping its mode and owner. A text that does not change is not written. */
async function edit(
  { root }: Around,
  { path, start = "" }: { readonly path: string; readonly start?: string },
  change: (text: string) => string,
): Promise<readonly string[]> {
  const wrote = await atSpot(path, { root, create: true, followLast: true }, async (spot) => {
    const found = refuseFolder(path, await standing(spot));
    const text = textOf(found);
    const goal = change(text ?? start);
    if (goal === text) return false;
    const { mode, uid, gid } = found.kind === "file" ? found : { mode: 0o644, uid: 0, gid: 0 };
    await replaceFile(spot, { content: bytesOf(goal), mode, uid, gid });
    return true;
  });
  return wrote === true ? [path] : [];
}

async function find(around: Around, path: string, { followLast }: { readonly followLast: boolean }): Promise<Standing> {
  return (await atSpot(path, { root: around.root, create: false, followLast }, standing)) ?? { kind: "nothing" };
}

/** As far as it can be seen: what lies behind a link of somebody's, or below a file, is nothing of ours. */
async function seen(around: Around, path: string, how: { readonly followLast: boolean }): Promise<Standing> {
  try {
    return await find(around, path, how);
  } catch (error) {
    if (error instanceof Problem) return { kind: "nothing" };
    throw error;
  }
}

async function baseText(around: Around, base: string | undefined): Promise<string> {
  return base === undefined ? "" : (textOf(await find(around, base, { followLast: true })) ?? "");
}

/** One character for each byte, so that what is in no known encoding comes back as it was. */
function textOf(found: Standing): string | undefined {
  return found.kind === "file" ? found.content?.toString("latin1") : undefined;
}

function writtenValues(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, written([value])[0] ?? ""]));
}

function refuseFolder(path: string, found: Standing): Standing {
  if (found.kind === "folder") throw pathProblem(path, "a folder stands there");
  if (found.kind === "file" && found.content === undefined)
    throw pathProblem(path, "the file there is too large to be changed");
  return found;
}

/**
 * What keeps a file from being written at `path`, as far as that can be seen beforehand: the way there, a folder in its
 * place, a file system that is read-only or full.
 */
export async function checkFile(
  around: Around,
  {
    path,
    sizeBytes,
    followLast = false,
  }: { readonly path: string; readonly sizeBytes: number; readonly followLast?: boolean },
): Promise<readonly Problem[]> {
  try {
    const found = await find(around, path, { followLast });
    if (found.kind === "folder") return [pathProblem(path, "a folder stands there")];
    if (found.kind === "other") return [pathProblem(path, "a device, pipe or socket stands there")];
    const folder = await nearestFolder(around, dirname(path));
    await access(folder, constants.W_OK).catch((cause: unknown) => {
      throw new Problem("setup-write", `Cannot write ${path}`, { hint: hintFor(cause), cause });
    });
    const { bavail, bsize } = await statfs(folder);
    if (bavail * bsize >= sizeBytes + spareBytes) return [];
    return [new Problem("setup-space", `Cannot write ${path}: its file system is full`, { hint: "Make room there" })];
  } catch (error) {
    return [asProblem(error, "setup-write", `Cannot tell whether ${path} can be written`)];
  }
}

async function nearestFolder(around: Around, path: string): Promise<string> {
  for (let folder = path; folder !== "/"; folder = dirname(folder)) {
    try {
      await stat(at(around, folder));
      return at(around, folder);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }
  return around.root;
}

async function checkOwner(around: Around, wish: FileWish, before: readonly Step[]): Promise<readonly Problem[]> {
  const makesUser = before.some((step) => step.kind === "user" && step.user.name === wish.owner);
  const makesGroup = before.some(
    (step) =>
      (step.kind === "group" && step.name === wish.group) ||
      (step.kind === "user" && step.user.userGroup && step.user.name === wish.group),
  );
  const user = makesUser || (await userId(around, wish.owner)) !== undefined;
  const group = makesGroup || (await groupId(around, wish.group)) !== undefined;
  return user && group ? [] : [ownerProblem(wish)];
}

function ownerProblem({ path, owner, group }: FileWish): Problem {
  return new Problem("setup-owner", `Cannot give ${path} to ${owner}:${group}`, {
    hint: "There is no such account or group, and no step before makes it: add it to users or groups",
  });
}

async function idsOf(
  around: Around,
  { owner, group }: FileWish,
): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  const [uid, gid] = [await userId(around, owner), await groupId(around, group)];
  return uid === undefined || gid === undefined ? undefined : { uid, gid };
}

/** A mistake in sudoers(5) can shut everybody out of sudo: its own checker looks first, where there is one. */
async function checkSudoers(around: Around, wish: FileWish, found: Standing): Promise<readonly Problem[]> {
  const { path } = wish;
  const isSudoers = path === "/etc/sudoers" || path.startsWith("/etc/sudoers.d/");
  if (!isSudoers || (await around.programs.find("visudo")) === undefined) return [];
  const { status, all } = await around.programs.run(["visudo", "-c", "-f", "-"], {
    signal: new AbortController().signal, // bounded by its own time
    timeoutMs: sudoersTimeoutMs,
    input: Buffer.from(goalOf(wish, found)).toString("utf8"),
  });
  if (status === 0) return [];
  return [
    new Problem("setup-sudoers", `Cannot take ${path}: sudo could not read it`, {
      hint: "Rules look like: ALL=(ALL) NOPASSWD:ALL",
      cause: new Error(all.trim()),
    }),
  ];
}

interface Owned {
  readonly mode: number;
  readonly owner: string;
  readonly group: string;
}

async function ownersOf(
  around: Around,
  { uid, gid }: { readonly uid: number; readonly gid: number },
): Promise<Pick<Owned, "owner" | "group">> {
  const [user, group] = [await findAccount(around, String(uid)), await findGroup(around, String(gid))];
  return { owner: user?.name ?? String(uid), group: group?.name ?? String(gid) };
}

/** First line of what is shown of a file whose mode or owner changes. */
function headOf({ mode, owner, group }: Owned): string {
  return `(mode ${mode.toString(8).padStart(4, "0")}, ${owner}:${group})\n`;
}

function shown(content: Uint8Array | undefined): string {
  if (content === undefined || content.length > shownBytes) return "(too large to be shown)\n";
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return `(${content.length} bytes that are no text)\n`; // what they are is of no use to a reader
  }
}

function other(found: Standing): string | undefined {
  if (found.kind === "nothing") return undefined;
  return found.kind === "link"
    ? `-> ${found.target}\n`
    : `a ${found.kind === "folder" ? "folder" : "device, pipe or socket"}\n`;
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

function placed(problem: Problem, place: Step["at"]): Problem {
  if (place === undefined || problem.at !== undefined) return problem;
  return new Problem(problem.code, problem.message, { hint: problem.hint, cause: problem.cause, at: place });
}
