// The addresses that stand for $private_ipv4 and its kin: from the provider, from variables, from the interfaces, in this
// order, and for each where it was looked for. Given to the first boot. Nothing is guessed where there is a choice.
import { networkInterfaces, type NetworkInterfaceInfo } from "node:os";
import { join } from "node:path";
import { Problem } from "../domain/problem.ts";
import { type Addresses, type AddressName, addressNames, type InstanceMetadata } from "../domain/user-data.ts";
import { defaultInterfaces } from "./host.ts";
import { addressesOf, nameOf } from "./sources/facts.ts";
import { readWhole } from "./sources/files.ts";

/** /etc/environment is a few lines, a routing table may be long. */
const maxFileBytes = 1024 * 1024;

export interface AddressQuestion {
  readonly metadata: InstanceMetadata;
  /** Where the metadata is from, for people ("ec2"); undefined: no source had any. */
  readonly source: string | undefined;
  /** Of this process. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface AddressSources {
  /** Stands before /etc and /proc; "/" unless set. */
  readonly root?: string;
  /** What the kernel lists; the operating system's own unless set. */
  readonly interfaces?: () => Interfaces;
}

type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** Rejects with nothing: what cannot be read is said in `looked`. */
export async function findAddresses(
  question: AddressQuestion,
  { root = "/", interfaces = networkInterfaces }: AddressSources = {},
): Promise<Addresses> {
  const [file, ...routes] = await Promise.all(
    ["etc/environment", "proc/net/route", "proc/net/ipv6_route"].map((path) => readText(join(root, path))),
  );
  return chooseAddresses({
    ...question,
    file: readVariables(file ?? ""),
    interfaces: interfaces(),
    defaults: defaultInterfaces(routes[0] ?? "", routes[1] ?? ""),
  });
}

export interface AddressFacts extends AddressQuestion {
  /** Variables of /etc/environment. */
  readonly file: Readonly<Record<string, string | undefined>>;
  readonly interfaces: Interfaces;
  /** Names of interfaces that have a default route. */
  readonly defaults: readonly string[];
}

/** Pure: the choice itself. */
export function chooseAddresses(facts: AddressFacts): Addresses {
  const values: Partial<Record<AddressName, string>> = {};
  const looked: Partial<Record<AddressName, readonly string[]>> = {};
  for (const name of addressNames) {
    const said: string[] = [];
    for (const look of [fromMetadata, fromVariables, fromInterfaces]) {
      const { value, words } = look(name, facts);
      said.push(words);
      if (value === undefined) continue;
      values[name] = value;
      break;
    }
    looked[name] = said;
  }
  return { values, looked: looked as Record<AddressName, readonly string[]> };
}

interface Look {
  readonly value: string | undefined;
  readonly words: string;
}

function fromMetadata(name: AddressName, { metadata, source }: AddressFacts): Look {
  const value = metadata.addresses[name];
  return {
    value,
    words: source === undefined ? "metadata: no source has any" : `metadata of ${source}: ${value ?? "none"}`,
  };
}

/** Our own name before the one that CoreOS gave them. */
const prefixes = ["FLOTILLA", "COREOS"];

function fromVariables(name: AddressName, { environment, file }: AddressFacts): Look {
  const variables = prefixes.map((prefix) => `${prefix}_${name.toUpperCase()}`);
  const unusable: string[] = [];
  for (const [place, values] of [["environment", environment] as const, ["/etc/environment", file] as const])
    for (const variable of variables) {
      const text = values[variable];
      if (text === undefined || text === "") continue;
      const value = addressesOf({ [name]: text })[name];
      if (value !== undefined)
        return { value, words: `${variable} of ${place === "environment" ? "the environment" : place}: ${value}` };
      unusable.push(`${variable} holds no ${name.endsWith("4") ? "IPv4" : "IPv6"} address`);
    }
  const where = `${variables.join(" and ")} of the environment and of /etc/environment`;
  return { value: undefined, words: `${where}: ${unusable.length === 0 ? "none" : unusable.join(", ")}` };
}

function fromInterfaces(name: AddressName, { interfaces, defaults }: AddressFacts): Look {
  const own = Object.entries(interfaces).filter(([, list = []]) => list.some(({ internal }) => !internal));
  // a machine that reaches others by one way is reached by it; without any such way all interfaces are equal
  const among = defaults.length > 0 ? own.filter(([interfaceName]) => defaults.includes(interfaceName)) : own;
  const candidates = among.flatMap(([interfaceName, list = []]) => {
    const address = list.map((each) => each.address).find((each) => nameOf(each) === name);
    return address === undefined ? [] : [{ interfaceName, address }];
  });
  const which = among.length === 0 ? "interfaces" : `interfaces (${among.map(([each]) => each).join(", ")})`;
  const [first, second] = candidates;
  if (first === undefined) return { value: undefined, words: `${which}: none` };
  if (second !== undefined) {
    const choice = candidates.map(({ interfaceName, address }) => `${address} on ${interfaceName}`).join(" or ");
    return { value: undefined, words: `${which}: it could be ${choice}` };
  }
  return { value: first.address, words: `interface ${first.interfaceName}: ${first.address}` };
}

/** `NAME=value` lines as pam_env(8) reads them: quotes around a value are taken off, `export` may stand in front. */
export function readVariables(text: string): Readonly<Record<string, string | undefined>> {
  const lines = text.matchAll(/^[ \t]*(?:export[ \t]+)?([A-Z_][A-Z0-9_]*)=(.*)$/gim);
  return Object.fromEntries(
    Array.from(lines, ([, name = "", value = ""]) => [name, value.trim().replace(/^(["'])(.*)\1$/, "$2")]),
  );
}

async function readText(path: string): Promise<string> {
  try {
    return (await readWhole(path, { mostBytes: maxFileBytes }))?.toString("utf8") ?? "";
  } catch (error) {
    // nothing depends on one of these alone: what it would have said is said to be missing
    if (error instanceof Problem) return "";
    throw error;
  }
}
