// What the machine is called: the document's name over the provider's, with or without its domain, and what /etc/hosts
// says of it.
import type { Addresses, CloudConfig, InstanceMetadata } from "../domain/user-data.ts";
import type { BootRecord, SetupFacts } from "../domain/first-boot.ts";
import type { Place } from "../domain/problem.ts";
import { type Draft, type Given, base, tell, textFile } from "./draft.ts";

export interface Names {
  /** What it will be called. */
  readonly hostname: string;
  /** With its domain; undefined: nobody said one. */
  readonly fqdn: string | undefined;
  /** Undefined: the name it has stays. */
  readonly wish: { readonly at: Place | undefined } | undefined;
  /** What the provider said and the document overrides. */
  readonly overridden: string | undefined;
  /** What the provider said and cannot be a name. */
  readonly unusable: string | undefined;
}

export type NameKeys = Pick<CloudConfig, "hostname" | "fqdn" | "preferFqdn" | "preserveHostname">;

const hostnameId = "hostname";

/** Linux has room for 64 characters (sethostname(2)). */
const hostnameShape = /^(?=.{1,64}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$/;

export interface NamesGiven {
  readonly metadata: InstanceMetadata;
  readonly facts: SetupFacts;
  readonly record: BootRecord | undefined;
  /** The document was there and was read. */
  readonly isWhole: boolean;
  /** The record is that of another instance. */
  readonly isCopied: boolean;
}

/**
 * Decides on the name. A provider's name is cut at its first dot, as providers put domains of their own behind it; it renames
 * no machine whose document, which may have said another, could not be read.
 */
export function namesOf(config: NameKeys, { metadata, facts, record, isWhole, isCopied }: NamesGiven): Names {
  const isNamed = record !== undefined && !isCopied && Object.hasOwn(record.steps, hostnameId);
  const given = isNamed && !isWhole ? undefined : metadata.hostname;
  const usable = given !== undefined && hostnameShape.test(given) ? given : undefined;
  const unusable = given === undefined || given === "" || usable !== undefined ? undefined : given;
  const label = (name: string): string => name.split(".")[0] ?? name;
  const document = documentName(config);
  const provided = usable === undefined ? undefined : config.preferFqdn ? usable : label(usable);
  const hostname = config.preserveHostname ? facts.hostname : (document?.value ?? provided ?? facts.hostname);
  const isSaid = document !== undefined || provided !== undefined;
  const domainOf = (name: string | undefined): string | undefined =>
    name?.includes(".") === true && label(name) === label(hostname) ? name : undefined;
  return {
    hostname,
    fqdn: config.fqdn?.value ?? domainOf(document?.value) ?? domainOf(usable) ?? domainOf(hostname),
    wish: config.preserveHostname || !isSaid ? undefined : { at: document?.at },
    overridden: document !== undefined && provided !== undefined && provided !== hostname ? given : undefined,
    unusable,
  };
}

function documentName({ hostname, fqdn, preferFqdn }: NameKeys): CloudConfig["hostname"] {
  if (fqdn === undefined || (hostname !== undefined && !preferFqdn)) return hostname;
  return preferFqdn ? fqdn : { value: fqdn.value.split(".")[0] ?? fqdn.value, at: fqdn.at };
}

/** The first step of all. */
export function planHostname(names: Names, draft: Draft): void {
  if (names.overridden !== undefined)
    tell(draft, "info", {
      code: "boot-hostname",
      message: `Taking the host name "${names.hostname}" of the document, not "${names.overridden}" of the provider`,
      at: names.wish?.at,
    });
  if (names.unusable !== undefined)
    tell(draft, "warning", {
      code: "boot-hostname",
      message: `Cannot take the provider's host name "${names.unusable.slice(0, 80)}"`,
      hint: "Set hostname: in the document",
    });
  if (names.wish === undefined) return;
  draft.steps.push({
    ...base(hostnameId, { stage: "reach", at: names.wish.at }),
    kind: "hostname",
    hostname: names.hostname,
  });
}

/** /etc/hosts, after the name and before what looks names up. */
export function planHosts({ config, names }: Given, draft: Draft): void {
  const { hostname, fqdn } = names;
  const short = hostname.split(".")[0] ?? hostname;
  const all = [...new Set([...(fqdn === undefined ? [] : [fqdn]), hostname, short])].join(" ");
  if (config.manageEtcHosts === "replace")
    draft.steps.push({
      ...base("hosts", { stage: "early" }),
      kind: "file",
      // one line, as on CoreOS; without "localhost" in it the address of that name would depend on nss-myhostname
      file: textFile("/etc/hosts", { lines: [`127.0.0.1 ${all} localhost`] }),
    });
  if (config.manageEtcHosts === "add")
    draft.steps.push({
      ...base("block /etc/hosts", { stage: "early" }),
      kind: "block",
      path: "/etc/hosts",
      name: blockName,
      lines: [`127.0.1.1 ${all}`],
    });
}

/** The name in the marks around our lines in files of others. */
export const blockName = "flotilla bootstrap";

/** Addresses that are known, for units: /etc/environment, unless the document writes that file itself. */
export function planEnvironment(
  { config, addresses }: { readonly config: CloudConfig; readonly addresses: Addresses },
  draft: Draft,
): void {
  if (config.writeFiles.some(({ path, append }) => path === "/etc/environment" && !append)) return;
  const values = Object.fromEntries(
    Object.entries(addresses.values)
      .filter(([, address]) => address !== "")
      .map(([name, address]) => [`COREOS_${name.toUpperCase()}`, address])
      .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
  ) as Readonly<Record<string, string>>;
  if (Object.keys(values).length === 0) return;
  draft.steps.push({
    ...base("environment", { stage: "files" }),
    kind: "variables",
    path: "/etc/environment",
    base: undefined,
    values,
  });
}
