// The way into a private machine of a playground. The playground leaves a note of each machine that is on beside the
// machines' folders; whoever talks to an agent there finds it from the agent's socket. The note is believed only from the same
// user or root.
import { lstat, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Problem } from "../../domain/problem.ts";
import type { ShellMachine, Words } from "../../ports/machine-shell.ts";

/**
 * Beside the folders of the machines: one note for each machine that is on, by its id. Not "private": systemd has a
 * `/run/private`, which would stand beside the folder of a real agent's socket.
 */
const notesFolder = "private-machines";
/** A note is a line. */
const maxNoteBytes = 4_096;

interface Note {
  /** The machine's first process, as seen from outside. */
  readonly pid: number;
  /** Its systemd's own runtime folder. */
  readonly runtime: string;
}

/** `playground` is the folder of the whole playground. */
export async function notePrivate(playground: string, id: string, note: Note): Promise<void> {
  await mkdir(join(playground, notesFolder), { recursive: true, mode: 0o700 });
  await writeFile(join(playground, notesFolder, id), `${JSON.stringify(note)}\n`, { mode: 0o600 });
}

export async function forgetPrivate(playground: string, id: string): Promise<void> {
  await rm(join(playground, notesFolder, id), { force: true });
}

/**
 * Undefined where the agent of this socket is of no playground. Problem "shell-private" when the machine is off, or its note is
 * not to be believed.
 */
export async function enterPrivate(
  { id, hostname }: ShellMachine,
  socket: string,
): Promise<((command: Words) => { words: Words; env: Readonly<Record<string, string>> }) | undefined> {
  const folder = join(dirname(dirname(socket)), notesFolder);
  if (!(await isOwnFolder(folder))) return undefined;
  if (!/^[0-9a-f]{32}$/.test(id)) throw off(hostname === "" ? id : hostname);
  const note = await readNote(join(folder, id));
  if (note === undefined) throw off(hostname === "" ? id.slice(0, 8) : hostname);
  const asUser = process.getuid?.() === 0 ? [] : ["--user", "--preserve-credentials"];
  return (command) => ({
    words: [
      ...(["nsenter", "--target", String(note.pid), ...asUser, "--mount", "--pid", "--ipc", "--cgroup"] as const),
      ...["--wd=/", "--", ...inOwnWords(command)],
    ],
    env: { XDG_RUNTIME_DIR: note.runtime },
  });
}

/** A machine's systemd is a user's there, and files what it says of units as such: its programs have to be told so. */
function inOwnWords(command: Words): Words {
  const [program, ...words] = command;
  switch (program) {
    case "systemctl":
      return [program, "--user", ...words];
    case "journalctl":
      return [program, ...words.flatMap((word, at) => [...userUnit(word, words[at + 1]), word])];
    case "env": {
      const at = words.findIndex((word) => !word.includes("="));
      const [first, ...rest] = at < 0 ? [] : words.slice(at);
      return first === undefined ? command : [program, ...words.slice(0, at), ...inOwnWords([first, ...rest])];
    }
    default:
      return command;
  }
}

/** The same unit once more, in front of what follows. */
function userUnit(word: string, next: string | undefined): readonly string[] {
  if (word.startsWith("--unit=")) return [`--user-unit=${word.slice("--unit=".length)}`];
  return word === "--unit" && next !== undefined ? [`--user-unit=${next}`] : [];
}

async function isOwnFolder(path: string): Promise<boolean> {
  try {
    const { uid, mode } = await lstat(path);
    return (mode & 0o170000) === 0o040000 && (mode & 0o022) === 0 && (uid === process.getuid?.() || uid === 0);
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))
      return false;
    if (error instanceof Error && "code" in error && error.code === "EACCES") return false; // another user's
    throw error;
  }
}

async function readNote(path: string): Promise<Note | undefined> {
  try {
    const value: unknown = JSON.parse((await readFile(path, "utf8")).slice(0, maxNoteBytes));
    if (typeof value !== "object" || value === null || !("pid" in value) || !("runtime" in value)) return undefined;
    const { pid, runtime } = value;
    return Number.isSafeInteger(pid) && typeof runtime === "string" ? { pid: pid as number, runtime } : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // half written: the machine is just coming up
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}

function off(machine: string): Problem {
  return new Problem("shell-private", `Cannot enter ${machine}: it is off`, {
    hint: `flotilla playground start ${machine} switches it on`,
  });
}
