// Accounts, groups, passwords and the keys that let somebody log in.
import { Secret } from "../domain/settings.ts";
import type { CloudConfig, Placed, UserEntry } from "../domain/user-data.ts";
import { authorizedKeys, isPasswordHash } from "./keys.ts";
import { shown } from "./notes.ts";
import { type Reader, splitCommas } from "./reader.ts";
import { type MapValue, type Value, yesOrNo } from "./values.ts";

export function readUsers(reader: Reader, root: MapValue): CloudConfig["users"] {
  const value = reader.value(root, "users");
  if (value?.kind !== "list" && value?.kind !== "text") return undefined;
  const entries: UserEntry[] = [];
  let withDefault = false;
  for (const item of reader.items(root, "users")) {
    if (item.kind === "map") {
      const entry = readUser(reader, item);
      if (entry !== undefined) entries.push(entry);
      continue;
    }
    const names = reader.filled(item);
    for (const name of names === undefined ? [] : splitCommas(names.value)) {
      if (name === "default") withDefault = true;
      else if (isGoodName(reader, { value: name, at: item.at }))
        entries.push(readUser(reader, bareUser(item, name)) ?? never());
    }
  }
  tellTwice(reader, entries);
  return { withDefault, entries };
}

function never(): never {
  throw new Error("a user with a name has an entry");
}

/** `users: [default, web]`: an account of which nothing but the name is said. */
function bareUser({ at }: Value, name: string): MapValue {
  const value: Value = { kind: "text", text: name, isPlain: true, isBinary: false, at, firstLine: undefined };
  return { kind: "map", at, entries: new Map([["name", { value, at }]]) };
}

function isGoodName({ notes }: Reader, { value, at }: Placed<string>): boolean {
  if (/^[A-Za-z_][A-Za-z0-9_.-]{0,30}[A-Za-z0-9_.$-]?$/.test(value)) return true;
  notes.error("value", `Cannot take "${shown(value)}" as a login name`, {
    hint: "It must be lowercase letters, digits, - and _, at most 32",
    at,
  });
  return false;
}

function readUser(reader: Reader, map: MapValue): UserEntry | undefined {
  const { notes } = reader;
  const name = reader.text(map, "name");
  if (name === undefined) return undefined;
  if (/[A-Z.]/.test(name.value))
    notes.warning("user-name", `Cannot be sure that every system takes the login name "${shown(name.value)}"`, {
      hint: "Lowercase letters, digits, - and _ are safe",
      at: name.at,
    });
  const each = reader.text(map, "passwd");
  const once = reader.text(map, "hashed_passwd");
  const plain = reader.text(map, "plain_text_passwd");
  for (const [key, hash] of [
    ["passwd", each],
    ["hashed_passwd", once],
  ] as const)
    if (hash !== undefined && !isPasswordHash(hash.value))
      notes.error("password-hash", `Cannot take "${key}" of user "${name.value}": it is no hash of crypt(5)`, {
        hint: "Make one with: openssl passwd -6",
        at: hash.at,
      });
  if (plain !== undefined)
    notes.warning("password-readable", `Cannot keep the password of user "${name.value}" secret`, {
      hint: "User-data can be read by many; use hashed_passwd",
      at: plain.at,
    });
  if ([each, once, plain].filter((one) => one !== undefined).length > 1)
    notes.warning("password-twice", `Cannot use more than one password for user "${name.value}"`, {
      hint: "passwd goes before hashed_passwd, and that before plain_text_passwd",
      at: (plain ?? once ?? name).at,
    });
  const hash = each ?? once;
  const uid = reader.number(map, "uid")?.value;
  return {
    name: name.value,
    at: name.at,
    passwordHash: hash === undefined ? undefined : new Secret(hash.value),
    password: plain === undefined ? undefined : new Secret(plain.value),
    lockPassword: reader.flag(map, "lock_passwd"),
    gecos: checkedGecos(reader, map),
    homedir: reader.text(map, "homedir")?.value,
    createHome: reader.flag(map, "no_create_home") !== true,
    primaryGroup: reader.text(map, "primary_group")?.value,
    groups: unique(reader.texts(map, "groups", { commas: true }).map(({ value }) => value)),
    userGroup: reader.flag(map, "no_user_group") !== true,
    system: reader.flag(map, "system") === true,
    logInit: reader.flag(map, "no_log_init") !== true,
    shell: reader.text(map, "shell")?.value,
    uid,
    expireDate: reader.text(map, "expiredate")?.value,
    sudo: readSudo(reader, map),
    sshAuthorizedKeys: authorizedKeys(reader.texts(map, "ssh_authorized_keys"), notes),
  };
}

/** passwd(5) is divided by colons and lines. */
function checkedGecos(reader: Reader, map: MapValue): string | undefined {
  const gecos = reader.text(map, "gecos");
  if (gecos === undefined || !/[:\n]/.test(gecos.value)) return gecos?.value;
  reader.notes.error("value", `Cannot take "${shown(gecos.value)}" as "gecos"`, {
    hint: "It must be one line without a colon",
    at: gecos.at,
  });
  return undefined;
}

function readSudo(reader: Reader, map: MapValue): UserEntry["sudo"] {
  const value = reader.value(map, "sudo");
  if (value === undefined) return undefined;
  if (value.kind === "null") return false;
  if (value.kind === "text" && value.isPlain && yesOrNo(value.text) !== undefined) {
    if (yesOrNo(value.text) === false) return false;
    reader.notes.error("value", 'Cannot take true for "sudo"', {
      hint: "Write the rule: ALL=(ALL) NOPASSWD:ALL",
      at: value.at,
    });
    return undefined;
  }
  const rules = reader.texts(map, "sudo");
  for (const { value: rule, at } of rules)
    if (!rule.includes("=") || /\n/.test(rule))
      reader.notes.error("sudo", `Cannot take "${shown(rule)}" as a rule of sudoers`, {
        hint: "It must be one line such as ALL=(ALL) NOPASSWD:ALL, without the user's name",
        at,
      });
  return rules.map(({ value: rule }) => rule);
}

function tellTwice({ notes }: Reader, entries: readonly UserEntry[]): void {
  const names = new Map<string, UserEntry>();
  const uids = new Map<number, UserEntry>();
  for (const entry of entries) {
    const before = names.get(entry.name);
    if (before !== undefined)
      notes.error("user-twice", `Cannot take user "${entry.name}" twice`, {
        hint: `It stands on line ${before.at.line ?? 0} as well`,
        at: entry.at,
      });
    names.set(entry.name, entry);
    if (entry.uid === undefined) continue;
    const other = uids.get(entry.uid);
    if (other !== undefined && other.name !== entry.name)
      notes.error("uid-twice", `Cannot give uid ${entry.uid} to "${entry.name}"`, {
        hint: `User "${other.name}" on line ${other.at.line ?? 0} has it`,
        at: entry.at,
      });
    uids.set(entry.uid, entry);
  }
}

export function readGroups(reader: Reader, root: MapValue): CloudConfig["groups"] {
  const value = reader.value(root, "groups");
  if (value === undefined || value.kind === "null") return [];
  const fromMap = (map: MapValue): CloudConfig["groups"] =>
    Array.from(map.entries, ([name, { at }]) => ({
      name,
      members: reader.texts(map, name, { commas: true }).map((member) => member.value),
      at,
    }));
  const groups =
    value.kind === "map"
      ? fromMap(value)
      : reader.items(root, "groups").flatMap((item) => {
          if (item.kind === "map") return fromMap(item);
          const text = reader.filled(item);
          return splitCommas(text?.value ?? "").map((name) => ({ name, members: [], at: item.at }));
        });
  for (const { name, at } of groups)
    if (!/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/.test(name))
      reader.notes.error("value", `Cannot take "${shown(name)}" as the name of a group`, {
        hint: "It must be letters, digits, - and _, at most 32",
        at,
      });
  return groups;
}

/** `chpasswd`: passwords by account. */
export function readPasswords(reader: Reader, root: MapValue): CloudConfig["passwords"] {
  const map = reader.map(root, "chpasswd");
  if (map === undefined) return { expire: false, list: [] };
  const list: CloudConfig["passwords"]["list"][number][] = [];
  const add = (user: string, password: string, { at, isHash }: { at: Value["at"]; isHash: boolean }): void => {
    if (/^(R|RANDOM)$/.test(password)) tellRandom(reader, { user, at });
    else list.push({ user, password: new Secret(password), isHash, at });
  };
  for (const entry of reader.maps(map, "users")) {
    const name = reader.text(entry, "name");
    const password = reader.text(entry, "password");
    const type = reader.text(entry, "type")?.value ?? "hash";
    if (name === undefined) continue;
    if (type === "RANDOM") tellRandom(reader, { user: name.value, at: name.at });
    else if (password === undefined)
      reader.notes.error("missing", `Cannot find the password of user "${name.value}"`, {
        hint: "It is needed",
        at: name.at,
      });
    else {
      if (type === "hash" && !isPasswordHash(password.value))
        reader.notes.error(
          "password-hash",
          `Cannot take the password of user "${name.value}": it is no hash of crypt(5)`,
          {
            hint: "Make one with: openssl passwd -6, or say type: text",
            at: password.at,
          },
        );
      add(name.value, password.value, { at: name.at, isHash: type === "hash" });
    }
  }
  for (const { value, at } of reader.texts(map, "list"))
    for (const line of value.split("\n").filter((each) => each.trim() !== "")) {
      const colon = line.indexOf(":");
      if (colon <= 0)
        reader.notes.error("value", 'Cannot read a line of "chpasswd.list"', { hint: "It must be name:password", at });
      else {
        const password = line.slice(colon + 1).trim();
        add(line.slice(0, colon).trim(), password, { at, isHash: /^\$(1|2[abxy]|5|6|y)\$/.test(password) });
      }
    }
  return { expire: reader.flag(map, "expire") !== false, list };
}

function tellRandom({ notes }: Reader, { user, at }: { readonly user: string; readonly at: Value["at"] }): void {
  notes.warning("left", `Cannot make up a password for user "${user}": flotilla leaves it to cloud-init`, {
    hint: "Give a hash: openssl passwd -6",
    at,
  });
}

function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
