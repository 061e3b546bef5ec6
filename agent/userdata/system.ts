// What the machine itself becomes: name, clock, language, disks, packages, certificates, commands, the end of the boot.
import type { CloudConfig, CommandLine, MountEntry, Placed } from "../domain/user-data.ts";
import { Secret } from "../domain/settings.ts";
import { shown } from "./notes.ts";
import type { Reader } from "./reader.ts";
import { type MapValue, type Value, yesOrNo } from "./values.ts";

export function readManageEtcHosts(reader: Reader, root: MapValue): CloudConfig["manageEtcHosts"] {
  const value = reader.text(root, "manage_etc_hosts");
  if (value === undefined) return "no";
  if (value.value === "template") {
    reader.notes.warning("left", "Cannot make /etc/hosts from a template: flotilla leaves it to cloud-init", {
      hint: "Write true, or the file itself with write_files",
      at: value.at,
    });
    return "no";
  }
  if (value.value === "localhost") return root.entries.has("hostname") || root.entries.has("fqdn") ? "add" : "replace";
  return yesOrNo(value.value) === true ? "add" : "no";
}

export function readCommands(reader: Reader, root: MapValue, key: string): readonly CommandLine[] {
  const value = reader.value(root, key);
  if (value?.kind !== "list") return [];
  return value.items.flatMap((item): readonly CommandLine[] => {
    const { at } = item;
    if (item.kind !== "list") {
      const text = item.kind === "text" ? reader.tokens.fill(item.text, at) : reader.filled(item)?.value;
      return text === undefined || text.trim() === "" ? [] : [{ kind: "shell", text, at }];
    }
    const argv = item.items.map((word) =>
      word.kind === "text" ? reader.tokens.fill(word.text, at) : (reader.filled(word)?.value ?? ""),
    );
    if (argv.length === 0 || argv[0] === "") {
      reader.notes.error("command", `Cannot run a command without a program in "${key}"`, {
        hint: "The first word of the list is the program",
        at,
      });
      return [];
    }
    return [{ kind: "argv", argv, at }];
  });
}

export function readKeyboard(reader: Reader, root: MapValue): CloudConfig["keyboard"] {
  const map = reader.map(root, "keyboard");
  const layout = map === undefined ? undefined : reader.text(map, "layout");
  if (map === undefined || layout === undefined) return undefined;
  const model = reader.text(map, "model")?.value ?? "pc105";
  return { value: { layout: layout.value, model, variant: reader.text(map, "variant")?.value ?? "" }, at: layout.at };
}

export function readNtp(reader: Reader, root: MapValue): CloudConfig["ntp"] {
  const value = reader.value(root, "ntp");
  if (value === undefined) return undefined;
  // `ntp:` alone switches it on, with the system's own servers
  if (value.kind !== "map") return { value: { enabled: true, servers: [], pools: [] }, at: value.at };
  const names = (key: string): readonly string[] =>
    reader.texts(value, key).map((text) => {
      if (!/^[A-Za-z0-9.:-]+$/.test(text.value) && !text.value.includes("$"))
        reader.notes.error("value", `Cannot take "${shown(text.value)}" as a time server`, {
          hint: "It must be a host name or an address",
          at: text.at,
        });
      return text.value;
    });
  const enabled = reader.flag(value, "enabled") !== false;
  return { value: { enabled, servers: names("servers"), pools: names("pools") }, at: reader.keyAt(root, "ntp") };
}

/** cloud-init's own (cc_mounts). */
const mountDefaults: readonly string[] = ["", "", "auto", "defaults,nofail", "0", "2"];

export function readMounts(reader: Reader, root: MapValue): readonly MountEntry[] {
  const own = reader.value(root, "mount_default_fields");
  const defaults =
    own?.kind !== "list"
      ? mountDefaults
      : mountDefaults.map((field, at) => {
          const item = own.items[at];
          return (item === undefined ? undefined : reader.filled(item)?.value) ?? field;
        });
  return reader
    .items(root, "mounts")
    .flatMap((item) => (item.kind === "list" ? readMount(reader, item, defaults) : []));
}

function readMount(
  reader: Reader,
  { items, at }: Extract<Value, { kind: "list" }>,
  defaults: readonly string[],
): readonly MountEntry[] {
  const texts = items.map((item) => reader.filled(item)?.value);
  const field = (index: number): string => texts[index] ?? defaults[index] ?? "";
  const [device, mountPoint, type] = [field(0), field(1), field(2)];
  const fault = (message: string, hint: string): readonly MountEntry[] => {
    reader.notes.error("mount", message, { hint, at });
    return [];
  };
  if (device === "") return fault("Cannot mount without a device", "The first field is the device");
  // `[ephemeral0]` and `[ephemeral0, null]` take an entry of cloud-init's own away
  if (texts[1] === undefined && defaults[1] === "") {
    reader.notes.warning("left", `Cannot take away a mount of "${shown(device)}": flotilla makes none by itself`, {
      hint: "Give a mount point as the second field, or take the entry away",
      at,
    });
    return [];
  }
  if (!mountPoint.startsWith("/") && !["none", "swap"].includes(mountPoint))
    return fault(`Cannot mount at "${shown(mountPoint)}"`, "The second field is an absolute path, or none for swap");
  if (mountPoint.split("/").includes(".."))
    return fault(`Cannot mount at "${shown(mountPoint)}"`, "Write the path that is meant");
  const bad = [0, 1, 2, 3].map(field).find((text) => /\s/.test(text));
  if (bad !== undefined) return fault(`Cannot take "${shown(bad)}" as a field of a mount`, "Write \\040 for a blank");
  for (const index of [4, 5])
    if (!/^[0-9]$/.test(field(index)))
      return fault(`Cannot take "${shown(field(index))}" as a field of a mount`, "Fields five and six are digits");
  const [options, dump, pass] = [field(3), field(4), field(5)];
  return [{ device, mountPoint: type === "swap" ? "none" : mountPoint, type, options, dump, pass, at }];
}

export function readSwap(reader: Reader, root: MapValue): CloudConfig["swap"] {
  const map = reader.map(root, "swap");
  if (map === undefined) return undefined;
  const size = reader.text(map, "size")?.value ?? "0";
  const most = reader.text(map, "maxsize")?.value;
  const sizeBytes = size === "auto" ? "auto" : bytesOf(size);
  if (sizeBytes === 0) return undefined;
  return {
    value: {
      file: reader.text(map, "filename")?.value ?? "/swap.img",
      sizeBytes,
      maxSizeBytes: most === undefined ? undefined : bytesOf(most),
    },
    at: reader.keyAt(root, "swap"),
  };
}

function bytesOf(text: string): number {
  const [, amount = "0", unit = "B"] = /^([0-9.]+)\s*([BKMGT])?/.exec(text) ?? [];
  return Math.round(Number(amount) * 1024 ** "BKMGT".indexOf(unit));
}

export function readCaCerts(reader: Reader, root: MapValue): CloudConfig["caCerts"] {
  const map = reader.map(root, "ca_certs");
  if (map === undefined) return undefined;
  const trusted = reader.texts(map, "trusted").map((text) => {
    if (!/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----[^]+-----END (TRUSTED |X509 )?CERTIFICATE-----/.test(text.value))
      reader.notes.error("certificate", "Cannot read a certificate in ca_certs.trusted", {
        hint: 'It must be PEM, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, behind "- |"',
        at: text.at,
      });
    return text.value;
  });
  return {
    value: { removeDefaults: reader.flag(map, "remove_defaults") === true, trusted },
    at: reader.keyAt(root, "ca_certs"),
  };
}

/** Names; `[name, version]` becomes `name=version` as Debian writes it. */
export function readPackages(reader: Reader, root: MapValue): readonly Placed<string>[] {
  return reader.items(root, "packages").flatMap((item): readonly Placed<string>[] => {
    if (item.kind === "map") {
      reader.notes.warning("left", "Cannot install packages by their manager: flotilla leaves it to cloud-init", {
        hint: "Name them alone",
        at: item.at,
      });
      return [];
    }
    const words =
      item.kind === "list"
        ? item.items.flatMap((word) => reader.filled(word)?.value ?? [])
        : [reader.filled(item)?.value ?? ""];
    const name = words.slice(0, 2).join("=");
    // a name that begins with a dash would be an option of the program that installs it
    if (/^[A-Za-z0-9@][A-Za-z0-9@.+_:~^=/*-]*$/.test(name)) return [{ value: name, at: item.at }];
    reader.notes.error("value", `Cannot take "${shown(name)}" as the name of a package`, {
      hint: "It must be letters, digits and .+_-",
      at: item.at,
    });
    return [];
  });
}

export function readSshKeys(reader: Reader, root: MapValue): CloudConfig["sshKeys"] {
  const map = reader.map(root, "ssh_keys");
  return Array.from(map?.entries ?? []).flatMap(([key, { value, at }]) => {
    const text = reader.filled(value)?.value;
    const type = key.replaceAll("-", "_");
    if (text === undefined) return [];
    if (type.endsWith("_private") && !/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text))
      reader.notes.error("ssh-key", `Cannot read a private key in "${shown(key)}"`, {
        hint: 'It must be the whole file, behind "|"',
        at,
      });
    return [{ type, text: new Secret(`${text}\n`), at }];
  });
}

const powerModes = ["poweroff", "reboot", "halt"] as const;

export function readPowerState(reader: Reader, root: MapValue): CloudConfig["powerState"] {
  const map = reader.map(root, "power_state");
  const mode = map === undefined ? undefined : reader.text(map, "mode");
  const word = powerModes.find((each) => each === mode?.value);
  if (map === undefined || mode === undefined || word === undefined) return undefined;
  const delay = reader.text(map, "delay")?.value ?? "now";
  const value = {
    mode: word,
    delay: /^\d/.test(delay) ? `+${delay}` : delay,
    message: reader.text(map, "message")?.value ?? "",
  };
  return { value, at: mode.at };
}

export function readPhoneHome(reader: Reader, root: MapValue): CloudConfig["phoneHome"] {
  const map = reader.map(root, "phone_home");
  const url = map === undefined ? undefined : reader.text(map, "url");
  if (map === undefined || url === undefined) return undefined;
  const all = ["pub_key_rsa", "pub_key_ecdsa", "pub_key_ed25519", "instance_id", "hostname", "fqdn"];
  const given = reader.value(map, "post");
  const post = given === undefined || given.kind !== "list" ? all : reader.texts(map, "post").map(({ value }) => value);
  if (given?.kind === "text" && given.text !== "all")
    reader.notes.error("value", `Cannot take "${shown(given.text)}" for "phone_home.post"`, {
      hint: "It must be all, or a list of fields",
      at: given.at,
    });
  return { value: { url: url.value, post, tries: reader.number(map, "tries")?.value ?? 10 }, at: url.at };
}
