// Accounts and groups as the machine has them: its own files first, then whatever else answers for names (getent(1)).
// Given to the files of this folder. Reads only.
import { readFile } from "node:fs/promises";
import { type Around, at, isLive, unlessMissing } from "./around.ts";

/** A look-up in a directory service that is away must not hold up a boot. */
const askTimeoutMs = 5_000;

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly gecos: string;
  readonly home: string;
  readonly shell: string;
}

export interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

export async function findAccount(around: Around, name: string): Promise<Account | undefined> {
  const [line] = await rows(around, { database: "passwd", key: name, at: /^\d+$/.test(name) ? 2 : 0 });
  if (line === undefined) return undefined;
  const [account = "", , uid, gid, gecos = "", home = "", shell = ""] = line;
  return { name: account, uid: Number(uid), gid: Number(gid), gecos, home, shell };
}

export async function findGroup(around: Around, name: string): Promise<Group | undefined> {
  const [line] = await rows(around, { database: "group", key: name, at: /^\d+$/.test(name) ? 2 : 0 });
  if (line === undefined) return undefined;
  const [group = "", , gid, members = ""] = line;
  return { name: group, gid: Number(gid), members: members.split(",").filter((member) => member !== "") };
}

/** Groups that name the account as a member, besides its primary one. */
export async function groupsOf(around: Around, account: string): Promise<readonly string[]> {
  const all = await fileRows(around, "group");
  return all.filter(([, , , members = ""]) => members.split(",").includes(account)).map(([name = ""]) => name);
}

/** The password field of shadow(5): a hash, with "!" in front when it is locked; undefined: no such entry. */
export async function shadowField(around: Around, account: string): Promise<string | undefined> {
  const line = (await fileRows(around, "shadow")).find(([name]) => name === account);
  return line?.[1];
}

/** Numbers of a user and a group, by name or number; undefined: there is none of that name. */
export async function userId(around: Around, name: string): Promise<number | undefined> {
  return (await findAccount(around, name))?.uid ?? (/^\d{1,10}$/.test(name) ? Number(name) : undefined);
}

export async function groupId(around: Around, name: string): Promise<number | undefined> {
  return (await findGroup(around, name))?.gid ?? (/^\d{1,10}$/.test(name) ? Number(name) : undefined);
}

async function rows(
  around: Around,
  { database, key, at: column }: { readonly database: "passwd" | "group"; readonly key: string; readonly at: number },
): Promise<readonly (readonly string[])[]> {
  const own = (await fileRows(around, database)).filter((row) => row[column] === key);
  if (own.length > 0 || !isLive(around) || !/^[A-Za-z0-9_.$@-]+$/.test(key)) return own;
  if ((await around.programs.find("getent")) === undefined) return [];
  const { status, out } = await around.programs.run(["getent", database, key], {
    signal: new AbortController().signal, // bounded by its own time
    timeoutMs: askTimeoutMs,
  });
  return status === 0 ? split(out) : [];
}

async function fileRows(
  around: Around,
  database: "passwd" | "group" | "shadow",
): Promise<readonly (readonly string[])[]> {
  return split((await unlessMissing(readFile(at(around, `/etc/${database}`), "utf8"))) ?? "");
}

function split(text: string): readonly (readonly string[])[] {
  return text
    .split("\n")
    .filter((line) => line.includes(":"))
    .map((line) => line.split(":"));
}
