// Groups, accounts, passwords, keys and sudo: what lets people reach the machine. Every step stands on its own.
import type { Place } from "../domain/problem.ts";
import type { CloudConfig, InstanceMetadata, UserEntry } from "../domain/user-data.ts";
import type { BootRecord, SetupFacts, Step, StepOf, UserWish } from "../domain/first-boot.ts";
import { type Draft, base, tell, textFile } from "./draft.ts";
import { isSilent } from "./record.ts";

/** Whose lines in an authorized_keys file are ours. */
export const keySet = "flotilla";

export type AccountKeys = Pick<CloudConfig, "users" | "sshAuthorizedKeys"> &
  Partial<Pick<CloudConfig, "groups" | "disableRoot">>;

export interface AccountsGiven {
  readonly config: AccountKeys;
  readonly metadata: InstanceMetadata;
  readonly facts: SetupFacts;
  readonly record: BootRecord | undefined;
  /** The document was there and was read: nobody is let in whom it does not name. */
  readonly isWhole: boolean;
}

export function planAccounts(given: AccountsGiven, draft: Draft): void {
  const { config } = given;
  const users = makersFirst(withGroups(config));
  planGroups({ config, users }, draft);
  for (const user of users) planUser(user, draft);
  for (const user of users) planPassword(user, draft);
  planKeys(given, draft);
  for (const user of users) planSudo(user, draft);
}

/** Each account with the groups that name it as a member: it joins them when it is made. */
function withGroups({ users, groups = [] }: AccountKeys): readonly UserEntry[] {
  return (users?.entries ?? []).map((user) => {
    const joined = groups.filter(({ members }) => members.includes(user.name)).map(({ name }) => name);
    return { ...user, groups: [...new Set([...user.groups, ...joined])] };
  });
}

/** An account makes the group of its own name, unless it is told not to. */
function makesGroup({ userGroup, primaryGroup }: UserEntry): boolean {
  return userGroup && primaryGroup === undefined;
}

function wantedGroups({ name, groups, primaryGroup }: UserEntry): readonly string[] {
  return [...(primaryGroup === undefined ? [] : [primaryGroup]), ...groups].filter((group) => group !== name);
}

/** In the document's order, but for accounts whose own groups others want to be in: these come before the others. */
function makersFirst(users: readonly UserEntry[]): readonly UserEntry[] {
  const makers = new Map(users.filter(makesGroup).map((user) => [user.name, user]));
  const begun = new Set<UserEntry>();
  const ordered: UserEntry[] = [];
  const take = (user: UserEntry): void => {
    if (begun.has(user)) return;
    begun.add(user);
    for (const group of wantedGroups(user)) {
      const maker = makers.get(group);
      if (maker !== undefined) take(maker);
    }
    ordered.push(user);
  };
  for (const user of users) take(user);
  return ordered;
}

/** Those of the document first, then those that accounts want to be in: whoever is missing is made. */
function planGroups({ config, users }: { config: AccountKeys; users: readonly UserEntry[] }, draft: Draft): void {
  const groups = new Map<string, { members: string[]; at: Place }>();
  for (const { name, members, at } of config.groups ?? []) {
    const known = groups.get(name);
    if (known === undefined) groups.set(name, { members: [...new Set(members)], at });
    else known.members.push(...members.filter((member) => !known.members.includes(member)));
  }
  const accounts = new Set(users.map(({ name }) => name));
  const made = new Set<string>(); // by the accounts before
  for (const user of users) {
    for (const group of wantedGroups(user))
      if (!groups.has(group) && !made.has(group)) groups.set(group, { members: [], at: user.at });
    if (makesGroup(user)) made.add(user.name);
  }
  for (const [name, { members, at }] of groups) {
    const isNumber = /^\d+$/.test(name);
    if (isNumber) continue; // a primary group by its number has to be there
    // members that are accounts of this document join when these are made: withGroups
    const others = members.filter((member) => !accounts.has(member));
    draft.steps.push({ ...base(`group ${name}`, { stage: "reach", at }), kind: "group", name, members: others });
  }
}

function planUser(user: UserEntry, draft: Draft): void {
  const { name, at } = user;
  draft.steps.push({
    ...base(`user ${name}`, { stage: "reach", at }),
    kind: "user",
    user: {
      name,
      gecos: user.gecos,
      homedir: user.homedir,
      createHome: user.createHome,
      primaryGroup: user.primaryGroup,
      groups: user.groups.filter((group) => group !== name),
      userGroup: user.userGroup,
      system: user.system,
      logInit: user.logInit,
      shell: user.shell,
      uid: user.uid,
      expireDate: user.expireDate,
    },
  });
}

/**
 * A password is set once for an instance, and again when the document says another one: what its owner changed it to in
 * the meantime stays.
 */
function planPassword(user: UserEntry, draft: Draft): void {
  const { name, at, passwordHash, password, lockPassword } = user;
  const secret = passwordHash ?? password;
  if (secret !== undefined)
    draft.steps.push({
      ...base(`password ${name}`, { stage: "reach", at, frequency: "once-per-instance" }),
      kind: "password",
      user: name,
      password: secret,
      isHash: passwordHash !== undefined,
      expire: false,
    });
  if (lockPassword === true || (lockPassword === false && secret !== undefined))
    draft.steps.push({
      ...base(`lock ${name}`, { stage: "reach", at }),
      kind: "lock",
      user: name,
      locked: lockPassword,
    });
  else if (lockPassword === false)
    tell(draft, "warning", {
      code: "boot-password",
      message: `Leaving the password of "${name}" as it is: lock_passwd is false and no password is given`,
      hint: "An account without a password would let anybody in; give hashed_passwd, or ssh_authorized_keys alone",
      at,
    });
}

/** Who the keys at the top of the document and those of the provider are for. */
function keyOwner({ config, facts }: AccountsGiven): string {
  const users = config.users;
  if (users === undefined || users.withDefault || facts.defaultUser === "core") return facts.defaultUser;
  // cloud-init: without "default" in the list, the first one of it takes its place
  return users.entries.find(({ system }) => !system)?.name ?? facts.defaultUser;
}

function planKeys(given: AccountsGiven, draft: Draft): void {
  const { config, metadata, record, isWhole } = given;
  const owner = keyOwner(given);
  const keys = new Map<string, { keys: string[]; at: Place | undefined }>();
  const add = (user: string, key: string, at: Place | undefined): void => {
    const line = key.trim();
    if (line === "") return;
    const known = keys.get(user);
    if (known === undefined) keys.set(user, { keys: [line], at });
    else if (!known.keys.includes(line)) known.keys.push(line);
  };
  for (const { value, at } of config.sshAuthorizedKeys) add(owner, value, at);
  for (const key of metadata.sshKeys) add(owner, key, undefined);
  for (const user of config.users?.entries ?? [])
    for (const { value, at } of user.sshAuthorizedKeys) add(user.name, value, at);
  for (const [user, { keys: lines, at }] of keys) {
    const id = `keys ${user}`;
    const before = record !== undefined && Object.hasOwn(record.steps, id) ? record.steps[id] : undefined;
    // What an earlier boot let in may be in the part that could not be read, or be known to the provider only
    const keeps = !isWhole || (isSilent(metadata) && before?.isProvided === true);
    draft.steps.push({
      ...base(id, { stage: "reach", at }),
      kind: "authorized-keys",
      user,
      set: keySet,
      keys: lines,
      ...(keeps ? { keeps } : {}),
      ...(user === owner && metadata.sshKeys.length > 0 ? { isProvided: true } : {}),
    });
  }
}

/** What is to be the way in, and the way to root from there, of all these steps: without it nobody may be shut out. */
export function unlessShutOut(steps: readonly Step[]): Pick<Step, "unlessFailed"> {
  const kinds: readonly Step["kind"][] = ["user", "authorized-keys", "password"];
  const ids = steps.filter(({ id, kind }) => kinds.includes(kind) || id.startsWith("sudoers ")).map(({ id }) => id);
  return ids.length === 0 ? {} : { unlessFailed: ids };
}

/**
 * Homes and keys once more, after what is mounted: those of `reach` were made on the disk below, which is hidden by now.
 * Nothing else of an account lies in its home.
 */
export function planHomesAgain(mountPoints: readonly string[], draft: Draft): void {
  const early = (id: string, at: Place | undefined): ReturnType<typeof base> => base(id, { stage: "early", at });
  const people = new Map<string, { user?: StepOf<"user">; keys?: StepOf<"authorized-keys"> }>();
  for (const step of draft.steps)
    if (step.kind === "user") people.set(step.user.name, { ...people.get(step.user.name), user: step });
    else if (step.kind === "authorized-keys") people.set(step.user, { ...people.get(step.user), keys: step });
  for (const [name, { user, keys }] of people) {
    const wish = user?.user ?? ownAccount(name);
    if (!mountPoints.some((point) => homesOf(wish).some((home) => `${home}/`.startsWith(`${point}/`)))) continue;
    draft.steps.push({ ...early(`again user ${name}`, user?.at ?? keys?.at), kind: "user", user: wish });
    if (keys !== undefined) draft.steps.push({ ...keys, ...early(`again keys ${name}`, keys.at) });
  }
}

/** Where the account's home may be. An image that has it says so to nobody before the boot. */
function homesOf({ name, homedir }: UserWish): readonly string[] {
  if (homedir !== undefined) return [homedir.replace(/\/+$/, "")];
  return name === "root" ? ["/root"] : [`/home/${name}`, `/var/home/${name}`];
}

/** The image's own, which is there: nothing is asked of it but its home. */
function ownAccount(name: string): UserWish {
  return {
    name,
    gecos: undefined,
    homedir: undefined,
    createHome: true,
    primaryGroup: undefined,
    groups: [],
    userGroup: true,
    system: false,
    logInit: true,
    shell: undefined,
    uid: undefined,
    expireDate: undefined,
  };
}

/** sudo passes over names with a dot in them. */
export function sudoersPath(user: string): string {
  return `/etc/sudoers.d/90-flotilla-${user.replace(/[^A-Za-z0-9_-]/g, "_")}`;
}

function planSudo({ name, sudo, at }: UserEntry, draft: Draft): void {
  if (sudo === undefined) return;
  const path = sudoersPath(name);
  const first = base(`sudoers ${name}`, { stage: "reach", at });
  if (sudo === false) draft.steps.push({ ...first, kind: "remove", path });
  else if (sudo.length > 0)
    draft.steps.push({
      ...first,
      kind: "file",
      file: textFile(path, { lines: sudo.map((line) => `${name} ${line}`), mode: 0o440 }),
    });
}
