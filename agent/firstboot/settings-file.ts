// /etc/flotilla/flotilla.conf out of a document: what `flotilla:` says, over coreos.fleet, over what follows from etcd. One
// file; a secret stands in a file of its own beside it, and only its path in the settings.
import { fleetEndpoints, fleetOptions, type FleetOption } from "../domain/fleet-options.ts";
import type { Place } from "../domain/problem.ts";
import type { CloudConfig, Entry } from "../domain/user-data.ts";
import { type Draft, type Given, base, madeLines, shorten, tell, textFile } from "./draft.ts";
import { etcdUnits } from "./etcd.ts";
import { expandSpecifiers, isOneLine } from "./escape.ts";

export const settingsPath = "/etc/flotilla/flotilla.conf";
const sections: readonly string[] = ["Machine", "Git", "Registry", "Etcd", "Systemd", "API", "Agent"];
/** Secrets that settings can take from a file: `Token` as `TokenFile`. */
const fileSecrets: ReadonlySet<string> = new Set([
  ...["Git.Token", "Git.Password", "Registry.Password", "Etcd.DiscoveryPassword", "API.Token"],
]);

export interface SettingLine {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  readonly isSecret: boolean;
  readonly at: Place | undefined;
  /** Follows from something else: whatever the document says of this setting, also in another way, stands in its place. */
  readonly isDefault?: boolean;
}

/** The settings that a plan writes, for who checks them before anything is written. */
export interface PlannedSettings {
  readonly file: string;
  readonly text: string;
  /** Where each line of the text, from 1, comes from in the user-data. */
  readonly places: ReadonlyMap<number, Place>;
  /** Texts of the secret files that it names, by path. Not to be shown. */
  readonly secrets: ReadonlyMap<string, string>;
  /** Ids of the steps that write it. */
  readonly steps: readonly string[];
}

/** Undefined: the document has no settings. What is wrong is in the draft. */
export function planSettings(
  given: Given,
  { etcd, draft }: { readonly etcd: readonly SettingLine[]; readonly draft: Draft },
): PlannedSettings | undefined {
  const { config, facts } = given;
  const fleet = fleetLines(given, { hasEtcd: etcd.length > 0, draft });
  const own = config.settings.map((entry) =>
    ["Machine.Metadata", "Etcd.Name"].includes(`${entry.section}.${entry.key}`)
      ? withSpecifiers(entry, given, draft)
      : entry,
  );
  const lines = merge([...etcd, ...fleet], own).filter((line) => fits(line, draft));
  const first = lines.find(({ at }) => at !== undefined);
  if (lines.length === 0) return undefined;
  const written = config.writeFiles.find(({ path }) => path === settingsPath);
  if (written !== undefined)
    tell(draft, "error", {
      code: "boot-settings-twice",
      message: `Cannot write ${settingsPath} twice: by write_files and from the settings of this document`,
      hint: "Keep one of them: the section flotilla:, or the file",
      at: written.at,
    });
  if (facts.paths.has(settingsPath) && !facts.ours.has(settingsPath))
    tell(draft, "error", {
      code: "boot-settings-foreign",
      message: `Cannot replace ${settingsPath}: somebody wrote it by hand`,
      hint: "Move it away, or take flotilla:, coreos.fleet and coreos.etcd2 out of the document: then it stays as it is",
      at: first?.at,
    });
  return write(lines, draft);
}

/** A later list wins setting by setting; `Token` and `TokenFile` are one setting said in two ways. */
function merge(weak: readonly SettingLine[], strong: readonly SettingLine[]): readonly SettingLine[] {
  const nameOf = ({ section, key }: SettingLine): string => `${section}.${key.replace(/(Token|Password)File$/, "$1")}`;
  const explicit = new Set(strong.map(nameOf));
  const said = new Set([...weak.filter(({ isDefault }) => isDefault !== true), ...strong].map(nameOf));
  const kept = weak.filter(
    (line) => !explicit.has(nameOf(line)) && !(line.isDefault === true && said.has(nameOf(line))),
  );
  return [...kept, ...strong];
}

function fleetLines(
  given: Given,
  { hasEtcd, draft }: { readonly hasEtcd: boolean; readonly draft: Draft },
): readonly SettingLine[] {
  const { config } = given;
  const lines = config.fleet.flatMap((entry): readonly SettingLine[] => {
    const option = Object.hasOwn(fleetOptions, entry.key) ? fleetOptions[entry.key] : undefined;
    if (option !== undefined) {
      const { section, key } = option;
      const isSecret = entry.isSecret || key === "Password";
      const value = formed(entry.value, option);
      if (value === "") return [];
      const line = {
        section,
        key,
        value: key === "RequestTimeout" ? bearable(entry, config, draft) : value,
        isSecret,
        at: entry.at,
      };
      return [isSecret ? line : withSpecifiers(line, given, draft)];
    }
    return [];
  });
  const first = config.fleet[0];
  if (first === undefined || hasEtcd || lines.some(({ key }) => key === "Endpoints")) return lines;
  return [...lines, ...localEtcd(config, first, draft)];
}

/** Half of the leader's lease, which settings/ asks for: a lease must outlive a request that goes wrong. */
const longestRequestSeconds = 2.5;

/** fleet waited for requests as long as it was told, whatever its leases were. */
function bearable({ value, at }: Entry, { settings }: CloudConfig, draft: Draft): string {
  const isTooLong = Number(value) > longestRequestSeconds;
  if (!isTooLong || settings.some(({ key }) => key === "EngineLease" || key === "RequestTimeout")) return value.trim();
  tell(draft, "warning", {
    code: "boot-fleet-timeout",
    message: `Taking ${longestRequestSeconds} s for etcd_request_timeout: ${shorten(value)}`,
    hint: "A lease of 5 s must outlive a request; set engine-lease and request-timeout under flotilla: for more",
    at,
  });
  return `${longestRequestSeconds}`;
}

/** fleet took the etcd of its own machine when it was told of none. */
function localEtcd(config: CloudConfig, { at }: Entry, draft: Draft): readonly SettingLine[] {
  const runsEtcd = config.units.some(
    ({ name, mask, command }) => etcdUnits.includes(name) && !mask && command !== "stop",
  );
  tell(draft, "info", {
    code: "boot-fleet-endpoints",
    message: runsEtcd
      ? `Taking ${fleetEndpoints} for etcd, as fleet did`
      : "Letting this machine run alone: the document names no etcd",
    hint: "Set etcd_servers to the client URLs of an etcd",
    at,
  });
  return runsEtcd
    ? [{ section: "Registry", key: "Endpoints", value: fleetEndpoints, isSecret: false, at, isDefault: true }]
    : [];
}

function formed(value: string, { form }: FleetOption): string {
  switch (form) {
    case "text":
    case "list":
    case "metadata":
      return value.trim();
    case "reversed":
      return value === "true" ? "no" : "yes";
    case "user-scope":
      return value === "true" ? "user" : "system";
    case "verbosity":
      return Number(value) > 0 ? "debug" : "info";
  }
}

/** fleet's values stood in Environment= lines of its unit, where systemd puts %H and the like in. */
function withSpecifiers(line: SettingLine, { names, facts }: Given, draft: Draft): SettingLine {
  if (!line.value.includes("%")) return line;
  const { value, unknown } = expandSpecifiers(line.value, { hostname: names.hostname, facts });
  for (const specifier of new Set(unknown))
    tell(draft, "warning", {
      code: "boot-specifier",
      message: `Leaving "${specifier}" as it is`,
      hint: "Known are %H, %l, %m, %b, %v, and %% for a percent sign",
      at: line.at,
    });
  return { ...line, value };
}

function fits({ section, key, value, isSecret, at }: SettingLine, draft: Draft): boolean {
  if (isOneLine(value) && !value.endsWith("\\")) return true;
  tell(draft, "error", {
    code: "boot-settings-value",
    message: `Cannot write [${section}] ${key}=${isSecret ? "(secret)" : shorten(value)} in one line`,
    hint: "A setting holds no line ends and does not end in a backslash",
    at,
  });
  return false;
}

function write(lines: readonly SettingLine[], draft: Draft): PlannedSettings {
  const text: string[] = [...madeLines];
  const places = new Map<number, Place>();
  const secrets = new Map<string, string>();
  const steps: string[] = [];
  let holdsSecret = false;
  for (const section of [
    ...sections,
    ...new Set(lines.map((line) => line.section).filter((name) => !sections.includes(name))),
  ]) {
    const here = lines.filter((line) => line.section === section);
    if (here.length > 0) text.push("", `[${section}]`);
    for (const { key, value, isSecret, at } of here) {
      if (isSecret && value !== "" && fileSecrets.has(`${section}.${key}`)) {
        const path = `/etc/flotilla/${section.toLowerCase()}-${kebab(key)}`;
        secrets.set(path, value);
        steps.push(`own secret ${section}.${key}`);
        draft.steps.push({
          ...base(`own secret ${section}.${key}`, { stage: "files", at }),
          kind: "file",
          file: textFile(path, { lines: [value], mode: 0o600, isSecret: true }),
        });
        text.push(`${key}File=${path}`);
      } else {
        holdsSecret ||= isSecret;
        text.push(`${key}=${value}`);
      }
      if (at !== undefined) places.set(text.length, at);
    }
  }
  steps.push("settings");
  draft.steps.push({
    ...base("settings", { stage: "files", at: lines.find(({ at }) => at !== undefined)?.at }),
    kind: "file",
    file: textFile(settingsPath, { lines: text, mode: 0o600, isSecret: holdsSecret }),
  });
  return { file: settingsPath, text: `${text.join("\n")}\n`, places, secrets, steps };
}

const kebab = (key: string): string => key.replace(/([a-z])([A-Z])/g, "$1-$2").toLowerCase();
