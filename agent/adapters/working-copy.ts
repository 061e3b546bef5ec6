// The working copy: folders and files read without following a link, and systemd-analyze(1) run on copies in a folder of
// its own. Serves `flotilla verify`; writes nowhere else.
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { lstat, mkdir, mkdtemp, open, readdir, readlink, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative, resolve } from "node:path";
import { type UnitName, byName, isTemplate, parseUnitName, unitNameParts } from "../domain/names.ts";
import { Problem } from "../domain/problem.ts";
import type { DropIn, Unit } from "../domain/unit.ts";
import type { TreeEntry } from "../ports/git.ts";
import type { Analysis, WorkingCopy, WorkingTree } from "../ports/working-copy.ts";

const maxEntries = 200_000;
const maxFileBytes = 1024 * 1024;
/** Units looked at by one run of systemd-analyze. */
const batchSize = 100;
const analyzeTimeoutMs = 60_000;
const maxOutputBytes = 4 * 1024 * 1024;
const maxFindings = 1_000;
const maxFindingLength = 400;

export interface WorkingCopyOptions {
  /** Name or path of systemd-analyze. */
  readonly analyzer?: string;
}

export function createWorkingCopy({ analyzer = "systemd-analyze" }: WorkingCopyOptions = {}): WorkingCopy {
  return {
    tree: (path, signal) => readTree(path, signal),
    analyze: (units, signal) => analyze(units, { analyzer, signal }),
  };
}

async function readTree(path: string, signal: AbortSignal | undefined): Promise<WorkingTree> {
  const absolute = resolve(path);
  const kind = await kindOf(absolute);
  if (kind === undefined) throw cannotRead(path, new Error("it is neither a file nor a folder"));
  if (kind === "folder") return treeOf(absolute, { entries: await listFolder(absolute, signal) });
  // A link that names a unit is looked at as a link; any other stands for what it leads to.
  if (kind === "link" && !parseUnitName(basename(absolute)).ok) {
    return readTree(await reading(path, () => realpath(absolute)), signal);
  }
  return listUnit(absolute, kind);
}

function treeOf(
  root: string,
  { entries, asked }: { readonly entries: readonly TreeEntry[]; readonly asked?: TreeEntry },
): WorkingTree {
  const byOid = new Map(entries.map((entry) => [entry.oid, entry]));
  return {
    kind: asked === undefined ? "folder" : "file",
    entries: [...entries].sort((a, b) => byName(a.path, b.path)),
    asked,
    read: async (oid) => {
      const entry = byOid.get(oid);
      if (entry === undefined) throw new Error(`No such entry: ${oid}`);
      const path = join(root, entry.path);
      return reading(entry.path, () => (entry.kind === "link" ? readlink(path, "buffer") : readFileBounded(path)));
    },
  };
}

async function readFileBounded(path: string): Promise<Uint8Array> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new Error("it is not a file any more");
    if (info.size > maxFileBytes) throw new Error(`it has more than ${maxFileBytes} bytes`);
    // No more than it has, for there may be tens of thousands; of one that grows meanwhile what it had
    const buffer = Buffer.alloc(info.size);
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.subarray(0, length);
  } finally {
    await file.close();
  }
}

/** Everything below a folder, but for git's own and for repositories within. */
async function listFolder(root: string, signal: AbortSignal | undefined): Promise<readonly TreeEntry[]> {
  const entries: TreeEntry[] = [];
  const open = [""];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    const here = folder;
    const inside = await reading(here === "" ? root : here, () => readdir(join(root, here), { withFileTypes: true }));
    if (signal?.aborted === true) throw new Problem("aborted", "Cannot go on reading", { cause: signal.reason });
    if (here !== "" && inside.some(({ name }) => name === ".git")) {
      entries.push({ path: here, kind: "submodule", oid: `submodule:${here}` });
      continue;
    }
    for (const item of inside) {
      const path = here === "" ? item.name : `${here}/${item.name}`;
      if (item.name === ".git") continue;
      if (item.isDirectory()) open.push(path);
      else if (item.isSymbolicLink()) entries.push(entryOf(path, "link"));
      else if (item.isFile()) entries.push(entryOf(path, "file"));
    }
    if (entries.length + open.length > maxEntries) {
      throw new Problem("working-copy-read", `Cannot read more than ${maxEntries} files below "${root}"`, {
        hint: "Name the folder that holds the units",
      });
    }
  }
  return entries;
}

/** One unit with what belongs to it: the template that it is a link to, and the drop-ins beside either. */
async function listUnit(absolute: string, kind: "file" | "link"): Promise<WorkingTree> {
  const folder = dirname(absolute);
  const target = kind === "link" ? resolve(folder, await reading(absolute, () => readlink(absolute))) : undefined;
  const root = (await repositoryOf(folder)) ?? (target === undefined ? folder : commonFolder(folder, dirname(target)));
  const inside = (path: string): string => relative(root, path);
  const asked = entryOf(inside(absolute), kind);
  const found = new Map([[asked.path, asked]]);

  const name = parseUnitName(basename(absolute));
  const names = name.ok ? [name.value, unitNameParts(name.value).template] : [];
  const folders = new Set([folder]);
  if (target !== undefined && isBelow(root, target)) {
    const targetKind = await kindOf(target, { mayLack: true });
    if (targetKind === "file" || targetKind === "link") {
      found.set(inside(target), entryOf(inside(target), targetKind));
      folders.add(dirname(target));
    }
  }
  for (const place of folders) {
    for (const unit of new Set(names)) {
      if (unit !== undefined)
        for (const each of await listDropIns(join(place, `${unit}.d`), inside)) found.set(each.path, each);
    }
  }
  return treeOf(root, { entries: [...found.values()], asked });
}

async function listDropIns(folder: string, inside: (path: string) => string): Promise<readonly TreeEntry[]> {
  const kind = await kindOf(folder, { mayLack: true });
  if (kind === "link") return [entryOf(inside(folder), "link")];
  if (kind !== "folder") return [];
  const items = await reading(folder, () => readdir(folder, { withFileTypes: true }));
  if (items.length > maxEntries) throw cannotRead(folder, new Error(`it has more than ${maxEntries} files`));
  return items.flatMap((item) => {
    const path = inside(join(folder, item.name));
    if (item.isSymbolicLink()) return [entryOf(path, "link")];
    return item.isFile() ? [entryOf(path, "file")] : [];
  });
}

/** The nearest folder upwards that has a `.git`. */
async function repositoryOf(folder: string): Promise<string | undefined> {
  for (let each = folder; ; each = dirname(each)) {
    if ((await kindOf(join(each, ".git"), { mayLack: true })) !== undefined) return each;
    if (dirname(each) === each) return undefined;
  }
}

function commonFolder(one: string, other: string): string {
  let common = one;
  while (!isBelow(common, join(other, "x"))) common = dirname(common);
  return common;
}

function isBelow(folder: string, path: string): boolean {
  return path.startsWith(folder.endsWith("/") ? folder : `${folder}/`);
}

function entryOf(path: string, kind: "file" | "link"): TreeEntry {
  return { path, kind, oid: `${kind}:${path}` };
}

async function kindOf(
  path: string,
  { mayLack = false }: { readonly mayLack?: boolean } = {},
): Promise<"file" | "folder" | "link" | undefined> {
  try {
    const info = await lstat(path);
    if (info.isSymbolicLink()) return "link";
    return info.isDirectory() ? "folder" : info.isFile() ? "file" : undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (mayLack && (code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG")) return undefined;
    throw cannotRead(path, error);
  }
}

async function reading<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw cannotRead(path, error);
  }
}

function cannotRead(path: string, cause: unknown): Problem {
  if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") {
    return new Problem("working-copy-read", `Cannot read "${path}": there is no such file or folder`);
  }
  return new Problem("working-copy-read", `Cannot read "${path}"`, { cause });
}

interface AnalyzeOptions {
  readonly analyzer: string;
  readonly signal: AbortSignal | undefined;
}

async function analyze(units: readonly Unit[], options: AnalyzeOptions): Promise<Analysis> {
  const scratch = await scratchFolder();
  try {
    const copies = await copyUnits(units, scratch);
    const findings: Problem[] = [];
    for (let from = 0; from < units.length && findings.length < maxFindings; from += batchSize) {
      const paths = units.slice(from, from + batchSize).map(({ name }) => join(scratch, name));
      const run = await runAnalyzer(paths, options);
      if (run === undefined) return { available: false, findings: [] };
      findings.push(...readFindings(run, copies));
    }
    return { available: true, findings: findings.slice(0, maxFindings) };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function scratchFolder(): Promise<string> {
  const folder = tmpdir();
  try {
    return await realpath(await mkdtemp(join(folder, "flotilla-verify-")));
  } catch (cause) {
    throw new Problem("working-copy-scratch", `Cannot make a folder for copies of the units in "${folder}"`, {
      hint: "Set TMPDIR to a folder that is there, can be written and has room",
      cause,
    });
  }
}

/** Where each copy comes from: by path, and by name for messages that name the unit. */
interface Copies {
  readonly scratch: string;
  readonly fileByPath: ReadonlyMap<string, string>;
  readonly fileByName: ReadonlyMap<string, string>;
}

async function copyUnits(units: readonly Unit[], scratch: string): Promise<Copies> {
  const fileByPath = new Map<string, string>();
  const fileByName = new Map<string, string>();
  const write = async (path: string, copy: { readonly text: string; readonly file: string }): Promise<void> => {
    await writeFile(path, copy.text, { flag: "wx", mode: 0o600 });
    fileByPath.set(path, copy.file);
  };
  const templates = new Map(units.filter(({ name }) => isTemplate(name)).map((unit) => [unit.name, unit]));
  for (const unit of units) {
    await write(join(scratch, unit.name), unit);
    fileByName.set(unit.name, unit.file);
    // systemd-analyze looks at a template as its instance "i".
    if (isTemplate(unit.name)) fileByName.set(unit.name.replace("@.", "@i."), unit.file);
    const own = ownDropIns(unit, templates);
    if (own.length > 0) await mkdir(join(scratch, `${unit.name}.d`), { mode: 0o700 });
    for (const dropIn of own) await write(join(scratch, `${unit.name}.d`, dropIn.name), dropIn);
  }
  return { scratch, fileByPath, fileByName };
}

/** Without those that systemd takes from the template's own folder. */
function ownDropIns(unit: Unit, templates: ReadonlyMap<UnitName, Unit>): readonly DropIn[] {
  const { template } = unitNameParts(unit.name);
  const shared = template === undefined || template === unit.name ? undefined : templates.get(template);
  if (shared === undefined) return unit.dropIns;
  const files = new Set(shared.dropIns.map(({ file }) => file));
  return unit.dropIns.filter(({ file }) => !files.has(file));
}

interface Run {
  readonly failed: boolean;
  readonly timedOut: boolean;
  readonly output: string;
}

/** Undefined: there is no such program. */
async function runAnalyzer(paths: readonly string[], { analyzer, signal }: AnalyzeOptions): Promise<Run | undefined> {
  const options = {
    timeout: analyzeTimeoutMs,
    killSignal: "SIGKILL",
    maxBuffer: maxOutputBytes,
    env: { PATH: process.env["PATH"], LC_ALL: "C.UTF-8", SYSTEMD_COLORS: "0", SYSTEMD_LOG_TARGET: "console" },
    ...(signal === undefined ? {} : { signal }),
  } as const;
  return new Promise((done, fail) => {
    execFile(analyzer, ["verify", "--man=no", "--", ...paths], options, (error, stdout, stderr) => {
      if (signal?.aborted === true) {
        fail(new Problem("aborted", "Cannot go on with systemd-analyze", { cause: signal.reason }));
      } else if (error?.code === "ENOENT") {
        done(undefined);
      } else {
        done({ failed: error !== null, timedOut: error?.killed === true, output: `${stderr}\n${stdout}` });
      }
    });
  });
}

/** The lines that speak of our copies, each at its own file; of the host's units it is silent. */
function readFindings({ output, failed, timedOut }: Run, copies: Copies): readonly Problem[] {
  const findings = new Map<string, Problem>();
  for (const line of output.split("\n")) {
    const finding = readFinding(line, copies);
    if (finding !== undefined)
      findings.set(`${finding.at?.file ?? ""}\0${finding.at?.line ?? 0}\0${finding.message}`, finding);
  }
  if (timedOut) {
    findings.set("", new Problem("systemd-analyze", `systemd-analyze did not end within ${analyzeTimeoutMs / 1000} s`));
  } else if (failed && findings.size === 0) {
    const said = clean(output.trim().split("\n", 1)[0] ?? "");
    findings.set("", new Problem("systemd-analyze", `systemd-analyze failed without a word on these units: ${said}`));
  }
  return [...findings.values()];
}

function readFinding(line: string, { scratch, fileByPath, fileByName }: Copies): Problem | undefined {
  const told = (message: string, at: { file: string; line?: number }): Problem =>
    new Problem("systemd-analyze", `systemd: ${clean(message.replaceAll(`${scratch}/`, ""))}`, { at });
  const atPath = /^(\/.+?):(?:(\d+):)? (.*)$/.exec(line);
  if (atPath !== null) {
    const file = fileByPath.get(atPath[1] ?? "");
    if (file === undefined) return undefined;
    return told(atPath[3] ?? "", { file, ...(atPath[2] === undefined ? {} : { line: Number(atPath[2]) }) });
  }
  // It has said before what is bad about it.
  if (line.endsWith(" has a bad unit file setting.")) return undefined;
  const named = /^(?:Unit |Failed to create )?([^\s/:]+\.[a-z]+)(?:\/start)?:? (.*)$/.exec(line);
  const file = named === null ? undefined : fileByName.get(named[1] ?? "");
  return named === null || file === undefined ? undefined : told(named[2] ?? "", { file });
}

/** One bounded line without control characters and without a full stop. */
function clean(text: string): string {
  const line = text
    .replace(/\p{Cc}/gu, " ")
    .trim()
    .replace(/\.$/, "");
  return line.length > maxFindingLength ? `${line.slice(0, maxFindingLength - 3)}...` : line;
}
