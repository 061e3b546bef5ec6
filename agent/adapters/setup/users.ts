// Steps "group", "user", "password", "lock": accounts, made and changed by the distribution's own programs. A password or
// its hash goes to them on stdin only: a command line can be read by everybody.
import type { Looked, Step, UserWish } from "../../domain/first-boot.ts";
import { Problem } from "../../domain/problem.ts";
import { findAccount, findGroup, groupsOf, shadowField } from "./accounts.ts";
import { type Around, type Doer, isLive } from "./around.ts";
import { lacksHome, makeHome } from "./homes.ts";
import { missingProgram } from "./programs.ts";

/** Making a home on a slow disk, or a directory service that does not answer. */
const timeoutMs = 60_000;

export const group: Doer<"group"> = {
  async look({ name, members }, around) {
    const found = await findGroup(around, name);
    const all = [...new Set([...(found?.members ?? []), ...members])];
    return {
      same: found !== undefined && all.length === found.members.length,
      before: found === undefined ? undefined : membersText(found.members),
      after: membersText(all),
    };
  },
  async check({ name, members, at }, around, before) {
    const missing: string[] = [];
    for (const member of members) if (!(await isKnown(around, member, before))) missing.push(member);
    return [
      ...(await needPrograms(around, [["groupadd"], ...(members.length > 0 ? [["usermod"]] : [])])),
      ...missing.map(
        (member) =>
          new Problem("setup-group", `Cannot put ${member} into group ${name}: there is no such account`, {
            hint: "Add it to users, or leave it out of the group",
            at,
          }),
      ),
    ];
  },
  async apply({ name, members }, around, signal) {
    const found = await findGroup(around, name);
    if (found === undefined) await run(around, ["groupadd", ...prefix(around), "--", name], signal);
    for (const member of members) {
      if (found?.members.includes(member) === true) continue;
      await run(around, ["usermod", ...prefix(around), "-a", "-G", name, "--", member], signal);
    }
    return [];
  },
};

export const user: Doer<"user"> = {
  async look({ user: wish }, around) {
    const found = await findAccount(around, wish.name);
    if (found === undefined) return { same: false, before: undefined, after: wishText(wish) };
    const now = await groupsOf(around, wish.name);
    const missing = wish.groups.filter((name) => !now.includes(name));
    const lacks = await lacksHome(around, wish, found);
    const text = (groups: readonly string[], home: string): string =>
      `account ${wish.name}${listed(", in ", groups)}${home}\n`;
    return {
      same: missing.length === 0 && !lacks,
      before: text(now, lacks ? ", its home is missing" : ""),
      after: text([...now, ...missing], lacks ? `, home ${found.home}` : ""),
    };
  },
  async check({ user: wish, at }, around, before) {
    const found = await findAccount(around, wish.name);
    const problems = [...(await needPrograms(around, [[found === undefined ? "useradd" : "usermod"]]))];
    const groups = [
      ...wish.groups,
      ...(found === undefined && wish.primaryGroup !== undefined ? [wish.primaryGroup] : []),
    ];
    for (const name of groups) {
      if (before.some((step) => step.kind === "group" && step.name === name)) continue;
      if ((await findGroup(around, name)) !== undefined) continue;
      const hint = "Add it to groups, or leave it out";
      problems.push(
        new Problem("setup-group", `Cannot put ${wish.name} into group ${name}: there is none`, { hint, at }),
      );
    }
    if (found !== undefined) return problems;
    if (!/^[a-z_][a-z0-9_.-]*\$?$/i.test(wish.name) || wish.name.length > 32) {
      const hint = "A name begins with a letter and has letters, digits, - and _, at most 32 of them";
      problems.push(new Problem("setup-user", `Cannot make account "${wish.name.slice(0, 64)}"`, { hint, at }));
    }
    const other = wish.uid === undefined ? undefined : await findAccount(around, String(wish.uid));
    if (other !== undefined) {
      const message = `Cannot make account ${wish.name}: the number ${other.uid} is ${other.name}'s`;
      problems.push(new Problem("setup-user", message, { hint: "Choose another uid", at }));
    }
    return problems;
  },
  async apply({ user: wish }, around, signal) {
    const found = await findAccount(around, wish.name);
    if (found === undefined) {
      await run(
        around,
        ["useradd", ...prefix(around), ...(await useraddArguments(wish, around)), "--", wish.name],
        signal,
      );
      return [];
    }
    // An account that is there stays as it is, but for groups that it is not in yet, and a home that is missing
    const now = await groupsOf(around, wish.name);
    const missing = wish.groups.filter((name) => !now.includes(name));
    if (missing.length > 0)
      await run(around, ["usermod", ...prefix(around), "-a", "-G", missing.join(","), "--", wish.name], signal);
    return (await lacksHome(around, wish, found)) ? makeHome(around, found) : [];
  },
};

/** "*" is a password that none matches; unlike a locked account, an ssh server lets it in with a key. */
async function useraddArguments(wish: UserWish, around: Around): Promise<readonly string[]> {
  const option = (flag: string, value: string | number | undefined): readonly string[] =>
    value === undefined ? [] : [flag, String(value)];
  const taken = wish.primaryGroup === undefined && (await findGroup(around, wish.name)) !== undefined;
  const ownGroup = wish.userGroup && wish.primaryGroup === undefined && !taken;
  return [
    ...["-p", "*"],
    ...option("-c", wish.gecos),
    ...option("-d", wish.homedir),
    wish.createHome ? "-m" : "-M",
    // A group of its name that is there already is taken as its own
    ...option("-g", wish.primaryGroup ?? (taken && wish.userGroup ? wish.name : undefined)),
    ...(wish.groups.length === 0 ? [] : ["-G", wish.groups.join(",")]),
    ...(ownGroup ? ["-U"] : ["-N"]),
    ...(wish.system ? ["-r"] : []),
    ...(wish.logInit ? [] : ["-l"]),
    ...option("-s", wish.shell ?? (wish.system ? undefined : await usualShell(around))),
    ...option("-u", wish.uid),
    ...option("-e", wish.expireDate),
  ];
}

/** Debian's useradd gives a plain sh otherwise. */
async function usualShell({ programs }: Around): Promise<string | undefined> {
  return (await programs.find("/bin/bash")) ?? (await programs.find("bash"));
}

export const password: Doer<"password"> = {
  async look({ user: name, password: wish, isHash, expire }, around) {
    const field = await shadowField(around, name);
    // A plain text cannot be compared with a hash here: how often it is set is for the plan to say
    const same = isHash && field !== undefined && withoutLock(field) === wish.reveal() && !expire;
    return hidden(same);
  },
  async check({ user: name, isHash, password: wish, at }, around, before) {
    const problems = [...(await needPrograms(around, [["chpasswd"]]))];
    if (!(await isKnown(around, name, before))) problems.push(noAccount(name, "the password", at));
    // A line end would be a second line on chpasswd's stdin, and so a second account's password
    if (/[\r\n\0]/.test(wish.reveal()) || (isHash && wish.reveal().includes(":"))) {
      const hint = isHash ? "It is a line of crypt(5), as mkpasswd makes it" : "It has to be one line";
      problems.push(new Problem("setup-password", `Cannot take the password of ${name}`, { hint, at }));
    }
    return problems;
  },
  async apply({ user: name, password: wish, isHash, expire, at }, around, signal) {
    const text = wish.reveal();
    if (/[\r\n\0]/.test(text) || /[:\r\n\0]/.test(name)) {
      throw new Problem("setup-password", `Cannot take the password of ${name.slice(0, 64)}`, {
        hint: "Name and password have to be one line each, and the name without a colon",
        at,
      });
    }
    await around.programs.must(["chpasswd", ...chroot(around), ...(isHash ? ["-e"] : [])], {
      signal,
      timeoutMs,
      input: `${name}:${text}\n`,
    });
    if (expire) await run(around, ["chage", ...chroot(around), "-d", "0", "--", name], signal);
    return [];
  },
};

export const lock: Doer<"lock"> = {
  async look({ user: name, locked }, around) {
    const field = await shadowField(around, name);
    const word = (is: boolean): string => (is ? "no login by password\n" : "login by password\n");
    const isLocked = field === undefined || /^[!*]/.test(field);
    // Nothing to unlock: there is no password behind the lock
    const same = isLocked === locked || (!locked && withoutLock(field ?? "") === "");
    return { same, before: field === undefined ? undefined : word(isLocked), after: word(locked) };
  },
  async check({ user: name, at }, around, before) {
    const problems = [...(await needPrograms(around, [["usermod"]]))];
    return (await isKnown(around, name, before)) ? problems : [...problems, noAccount(name, "the lock", at)];
  },
  async apply({ user: name, locked }, around, signal) {
    const field = await shadowField(around, name);
    if (locked && field !== undefined && /^[!*]/.test(field)) return [];
    if (!locked && /^\*?$/.test(withoutLock(field ?? ""))) return [];
    await run(around, ["usermod", ...prefix(around), locked ? "-L" : "-U", "--", name], signal);
    return [];
  },
};

/** Whether there is such an account, or a step before makes it. */
export async function isKnown(around: Around, name: string, before: readonly Step[]): Promise<boolean> {
  if (before.some((step) => step.kind === "user" && step.user.name === name)) return true;
  return (await findAccount(around, name)) !== undefined;
}

export function noAccount(name: string, what: string, at: Step["at"]): Problem {
  return new Problem("setup-user", `Cannot set ${what} of ${name}: there is no such account`, {
    hint: "Add it to users",
    at,
  });
}

/** Programs that are missing, as problems; of each row one is enough. */
export async function needPrograms(around: Around, rows: readonly (readonly string[])[]): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  for (const row of rows) {
    let isThere = false;
    for (const name of row) isThere ||= (await around.programs.find(name)) !== undefined;
    // A root for tests brings no programs along
    if (!isThere && isLive(around)) problems.push(missingProgram(row.join(" or ")));
  }
  return problems;
}

async function run(around: Around, argv: readonly string[], signal: AbortSignal): Promise<void> {
  await around.programs.must(argv, { signal, timeoutMs });
}

/** Programs of shadow-utils work on another root's files when told so. */
function prefix(around: Around): readonly string[] {
  return isLive(around) ? [] : ["-P", around.root];
}

/** Those that know no prefix know a root to change into. */
function chroot(around: Around): readonly string[] {
  return isLive(around) ? [] : ["-R", around.root];
}

function hidden(same: boolean): Looked {
  return { same, before: undefined, after: undefined };
}

function withoutLock(field: string): string {
  return field.replace(/^!+/, "");
}

function membersText(members: readonly string[]): string {
  return `members: ${members.length === 0 ? "none" : members.join(", ")}\n`;
}

function wishText(wish: UserWish): string {
  const parts = [
    `account ${wish.name}`,
    wish.uid === undefined ? "" : `number ${wish.uid}`,
    wish.system ? "a system account" : "",
    wish.gecos === undefined ? "" : `"${wish.gecos}"`,
    wish.createHome ? `home ${wish.homedir ?? `/home/${wish.name}`}` : "no home made",
    wish.shell === undefined ? "" : `shell ${wish.shell}`,
    wish.primaryGroup === undefined ? "" : `group ${wish.primaryGroup}`,
    listed("in ", wish.groups),
    wish.expireDate === undefined ? "" : `until ${wish.expireDate}`,
  ];
  return `${parts.filter((part) => part !== "").join(", ")}\n`;
}

function listed(before: string, names: readonly string[]): string {
  return names.length === 0 ? "" : before + names.join(", ");
}
