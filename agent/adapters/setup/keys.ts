// Step "authorized-keys": who may log in. The set of keys stands between marks in the account's file, other lines stay; where
// the distribution joins the file from sets (update-ssh-keys), it is given the set. Nothing that the account's owner put in
// the way (a link out of the home) is followed.
import type { StepOf } from "../../domain/first-boot.ts";
import { Problem } from "../../domain/problem.ts";
import { type Account, findAccount } from "./accounts.ts";
import { type Around, type Doer, isLive } from "./around.ts";
import { blockOf, bytesOf, readable, withBlock, written } from "./blocks.ts";
import { checkFile } from "./files.ts";
import { type Standing, atSpot, ownFolder, pathProblem, replaceFile, standing } from "./places.ts";
import { isKnown, noAccount } from "./users.ts";

type Wish = StepOf<"authorized-keys">;

const joiner = "update-ssh-keys";
const timeoutMs = 30_000;

export const authorizedKeys: Doer<"authorized-keys"> = {
  async look(step, around) {
    const account = await findAccount(around, step.user);
    const now = account === undefined ? undefined : await keysNow(step, account, around);
    const goal = goalOf(step, now?.keys ?? []);
    return {
      same: now?.isRight === true && text(now.keys) === text(goal),
      before: now === undefined || now.keys.length === 0 ? undefined : readable(text(now.keys)),
      after: goal.length === 0 ? undefined : readable(text(goal)),
    };
  },

  async check({ user, set, keys, at }, around, before) {
    const problems: Problem[] = [];
    if (!(await isKnown(around, user, before))) problems.push(noAccount(user, "the keys", at));
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(set) || keys.some((key) => /[\r\n\0]/.test(key))) {
      const hint = "Each key is one line, as in a .pub file";
      problems.push(new Problem("setup-keys", `Cannot take the keys of ${user}`, { hint, at }));
    }
    const account = await findAccount(around, user);
    if (account !== undefined && !(await usesJoiner(around)))
      problems.push(...(await checkFile(around, { path: fileOf(account), sizeBytes: text(keys).length })));
    return problems;
  },

  async apply(step, around, signal) {
    const account = await findAccount(around, step.user);
    if (account === undefined) throw noAccount(step.user, "the keys", step.at);
    if (await usesJoiner(around)) {
      const goal = goalOf(step, (await keysNow(step, account, around)).keys);
      const argv = [joiner, "-u", account.name, goal.length === 0 ? "-d" : "-a", step.set];
      await around.programs.must(argv, { signal, timeoutMs, input: readable(text(goal)) });
      return [];
    }
    return (await writeKeys(step, account, around)) ? [fileOf(account)] : [];
  },
};

/** What the set will hold, as blocks.ts has it: one character for each byte. */
function goalOf({ keys: wanted, keeps }: Wish, now: readonly string[]): readonly string[] {
  const keys = written(wanted);
  return keeps === true ? [...now, ...keys.filter((key) => !now.includes(key))] : keys;
}

async function usesJoiner(around: Around): Promise<boolean> {
  return (await around.programs.find(joiner)) !== undefined && isLive(around);
}

function folderOf({ home }: Account): string {
  return `${home.replace(/\/+$/, "")}/.ssh`;
}

function fileOf(account: Account): string {
  return `${folderOf(account)}/authorized_keys`;
}

interface KeysNow {
  /** One character for each byte. */
  readonly keys: readonly string[];
  /** Owner and mode are such that the ssh server takes the file. */
  readonly isRight: boolean;
}

async function keysNow(step: Wish, account: Account, around: Around): Promise<KeysNow> {
  const joins = await usesJoiner(around);
  const path = joins ? `${folderOf(account)}/authorized_keys.d/${step.set}` : fileOf(account);
  const found = (await atSpot(path, { root: around.root, create: false, followLast: false }, standing)) ?? nothing;
  if (found.kind !== "file") return { keys: [], isRight: step.keys.length === 0 };
  const content = found.content?.toString("latin1") ?? "";
  const keys = joins ? content.split("\n").filter((line) => line.trim() !== "") : (blockOf(content, step.set) ?? []);
  return { keys, isRight: joins || ((found.mode & 0o022) === 0 && [0, account.uid].includes(found.uid)) };
}

const nothing: Standing = { kind: "nothing" };

async function writeKeys(step: Wish, account: Account, around: Around): Promise<boolean> {
  const { set, at } = step;
  const { root } = around;
  const { uid, gid, home, name } = account;
  const standsThere = await atSpot(home, { root, create: false, followLast: true }, standing);
  if (standsThere?.kind !== "folder") {
    throw new Problem("setup-home", `Cannot give ${name} its keys: there is no folder ${home}`, {
      hint: "The account needs a home for that: leave out no_create_home, or make it with write_files",
      at,
    });
  }
  await atSpot(folderOf(account), { root, create: false, followLast: false }, (spot) =>
    ownFolder(spot, { uid, gid, mode: 0o700 }),
  );
  const wrote = await atSpot(fileOf(account), { root, create: false, followLast: false }, async (spot) => {
    const found = await standing(spot);
    if (found.kind === "link") throw pathProblem(fileOf(account), "it is a link, and its owner may lead it anywhere");
    if (found.kind === "folder" || found.kind === "other") throw pathProblem(fileOf(account), "it is no file");
    const before = found.kind === "file" ? found.content?.toString("latin1") : "";
    if (before === undefined) throw pathProblem(fileOf(account), "the file there is too large to be changed");
    const content = withBlock(before, set, goalOf(step, blockOf(before, set) ?? []));
    if (found.kind === "nothing" && content === "") return false;
    await replaceFile(spot, { content: bytesOf(content), mode: 0o600, uid, gid });
    return true;
  });
  if (wrote === undefined) throw pathProblem(fileOf(account), "its folder is not there any more");
  return wrote;
}

function text(keys: readonly string[]): string {
  return keys.map((key) => `${key}\n`).join("");
}
