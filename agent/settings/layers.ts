// Where a value was set, and what happens when several places set it: file, then environment, then flags. Within one
// place later lines win, lists and maps grow, and an empty value takes the default again, as systemd's own files do.
import { Problem, type Place } from "../domain/problem.ts";
import {
  readAddress,
  readBranch,
  readDiscoveryUrl,
  readEndpoints,
  readFolder,
  readGitUrl,
  readInitialCluster,
  readListen,
  readMemberUrls,
  readPrefix,
  readSchedule,
  redact,
  redactToken,
} from "./addresses.ts";
import { findOption, type Option } from "./options.ts";
import { readValue, shorten, type Read, type Value } from "./values.ts";

/** Where a value stands: how its author would call it (`[Git] URL`, `FLOTILLA_GIT_URL`, `--git-url`) and in which file. */
export interface Origin {
  readonly label: string;
  readonly at: Place | undefined;
}

/** One line that sets one option. `text` is trimmed; "" takes the default. */
export interface Assignment {
  readonly option: Option;
  readonly text: string;
  readonly origin: Origin;
}

/** All that one place sets, in its order. */
export interface Layer {
  readonly assignments: readonly Assignment[];
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** Some of it could not be read: what is not in it may have been set all the same. */
  readonly isPartial?: boolean;
}

export interface Chosen {
  readonly value: Value;
  readonly origin: Origin;
}

/** What was set for each option, by the option's name; an option that is not in it has its default. */
export type Choices = ReadonlyMap<string, Chosen>;

/** The problem of a value that cannot be taken. Shows no secret, neither of a secret option nor in a URL. */
export function refuseValue({ option, text, origin }: Assignment, must: string): Problem {
  const plain = option.name === "Etcd.Discovery" ? redactToken(redact(text)) : redact(text);
  const shown = option.kind === "secret" ? "(secret)" : shorten(plain);
  const quoted = /^(["']).*\1$/.test(text) ? ", and it is written without quotes" : "";
  return new Problem("setting-value", `Cannot accept ${origin.label}=${shown}`, {
    hint: `It must be ${must}${quoted}`,
    at: origin.at,
  });
}

/** Reads one value: by its kind, and what its name asks beyond that. */
function read(option: Option, text: string): Read<Value> {
  if (option.name === "Registry.Prefix") {
    const prefix = readPrefix(text, option.must);
    return prefix.ok ? readValue(option, prefix.value) : prefix;
  }
  if (option.name === "Machine.Id") return readValue(option, text.replaceAll("-", "").toLowerCase());
  const general = readValue(option, text);
  return general.ok ? refine(option, general.value) : general;
}

/** What an option's name asks beyond its kind. A list is looked at again whenever a line adds to it. */
function refine(option: Option, value: Value): Read<Value> {
  const text = typeof value === "string" ? value : "";
  const items = Array.isArray(value) ? value.map(String) : [];
  switch (option.name) {
    case "Git.URL":
      return readGitUrl(text, option.must);
    case "Git.Branch":
      return readBranch(text, option.must);
    case "Git.Path":
      return readFolder(text, option.must);
    case "Git.Schedule":
      return readSchedule(text, option.must);
    case "Machine.PublicIP":
      return readAddress(text, option.must);
    case "Registry.Endpoints":
    case "Etcd.DiscoveryEndpoints":
      return readEndpoints(items, option.must);
    case "Etcd.PeerURLs":
    case "Etcd.ClientURLs":
      return readMemberUrls(items, option.must);
    case "Etcd.InitialCluster":
      return readInitialCluster(items, option.must);
    case "API.Listen":
      return readListen(items, option.must);
    case "Etcd.Discovery":
      return readDiscoveryUrl(text, option.must);
    default:
      return { ok: true, value };
  }
}

/** One option within one layer: undefined when it is not mentioned, `reset` when it takes its default again. */
function withinLayer(assignments: readonly Assignment[], problems: Problem[]): Chosen | "reset" {
  let chosen: Chosen | "reset" = "reset";
  for (const each of assignments) {
    if (each.text === "") {
      chosen = "reset";
      continue;
    }
    const next = read(each.option, each.text);
    if (!next.ok) {
      problems.push(refuseValue(each, next.must));
      continue;
    }
    const joined: Read<Value> = chosen === "reset" ? next : join(each.option, chosen.value, next.value);
    if (joined.ok) chosen = { value: joined.value, origin: each.origin };
    else problems.push(refuseValue(each, joined.must));
  }
  return chosen;
}

/** A further line of a list or map adds to it; of anything else it takes the place of the one before. */
function join(option: Option, before: Value, next: Value): Read<Value> {
  if (option.kind === "list") {
    const all = [...(before as readonly string[]), ...(next as readonly string[])];
    const most = option.schema.maxItems ?? Infinity;
    return all.length > most ? { ok: false, must: `at most ${most} items` } : refine(option, all);
  }
  if (option.kind !== "map") return { ok: true, value: next };
  const known = before as Readonly<Record<string, string>>;
  for (const [key, value] of Object.entries(next))
    if (Object.hasOwn(known, key) && known[key] !== value)
      return { ok: false, must: `one value for each key, and "${key}" is "${known[key] ?? ""}" in a line before` };
  return { ok: true, value: { ...known, ...(next as Readonly<Record<string, string>>) } };
}

/**
 * All layers as one, weakest first, with every problem of every layer: also a value that a stronger layer hides must
 * be right. An option and the one that says the same in another way (Token=, TokenFile=) hide each other across layers
 * and refuse each other within one.
 */
export function stack(layers: readonly Layer[]): { readonly choices: Choices; readonly problems: readonly Problem[] } {
  const choices = new Map<string, Chosen>();
  const problems: Problem[] = [];
  for (const layer of layers) {
    const found = [...layer.problems];
    const here = new Map<string, Chosen>();
    for (const [name, assignments] of byOption(layer.assignments)) {
      const chosen = withinLayer(assignments, found);
      choices.delete(name);
      if (chosen !== "reset") here.set(name, chosen);
    }
    for (const name of here.keys()) choices.delete(findOption(name)?.insteadOf ?? "");
    for (const [name, chosen] of here) {
      const option = findOption(name);
      const rival = option?.kind === "secret-file" ? here.get(option.insteadOf ?? "") : undefined;
      if (rival !== undefined) found.push(bothSet(chosen.origin, rival.origin));
      choices.set(name, chosen);
    }
    problems.push(...found.sort((a, b) => (a.at?.line ?? 0) - (b.at?.line ?? 0)));
  }
  return { choices, problems };
}

function bothSet(one: Origin, other: Origin): Problem {
  return new Problem("setting-conflict", `Cannot use ${one.label} together with ${other.label}`, {
    hint: "Both say the same thing; keep one of them",
    at: one.at,
  });
}

function byOption(assignments: readonly Assignment[]): ReadonlyMap<string, readonly Assignment[]> {
  const groups = new Map<string, Assignment[]>();
  for (const each of assignments) {
    const group = groups.get(each.option.name);
    if (group === undefined) groups.set(each.option.name, [each]);
    else group.push(each);
  }
  return groups;
}
