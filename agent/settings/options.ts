// The one table of everything that can be set: it drives the file, the environment, the flags, the documents and the
// schema check, so that these cannot drift apart. Bounds, defaults and descriptions stand in schemas/settings.json.
import schema from "../../schemas/settings.json" with { type: "json" };

/**
 * How a value is written. `list` is separated by commas, `map` is key=value,key=value, `duration` is a systemd time
 * span; `secret` is never shown, and `secret-file` is the file that holds the secret of the same section.
 */
export type Kind =
  "text" | "choice" | "boolean" | "count" | "duration" | "list" | "map" | "path" | "secret" | "secret-file";

/** The part of a JSON Schema that a single value's reader uses. */
export interface ValueSchema {
  readonly description: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly maxItems?: number;
  readonly maxProperties?: number;
}

export interface Option {
  /** `Git.URL`: unique in the table. */
  readonly name: string;
  readonly section: SectionName;
  readonly key: string;
  readonly kind: Kind;
  /** In the words of the reader: completes "It must be ...". */
  readonly must: string;
  /** `FLOTILLA_GIT_URL`. */
  readonly variable: string;
  /** `--git-url`; undefined for secrets, because a command line can be read by everybody on the machine. */
  readonly flag: string | undefined;
  /** The name of the option that says the same in another way; only one of the two can be set in one place. */
  readonly insteadOf: string | undefined;
  readonly schema: ValueSchema;
}

export const sectionNames = ["Machine", "Git", "Registry", "Etcd", "Systemd", "API", "Agent"] as const;
export type SectionName = (typeof sectionNames)[number];

type Row = readonly [key: string, kind: Kind, must: string];

const absolutePath = "an absolute path";
const yesOrNo = "yes or no";
const peerUrls = "URLs with a port that the other members can reach, such as http://10.0.0.1:2380";
const oneLineSecret = "one line of at most 4096 bytes";

const rows: Readonly<Record<SectionName, readonly Row[]>> = {
  Machine: [
    ["Id", "text", "32 lowercase hex digits, as in /etc/machine-id"],
    ["Hostname", "text", "a host name: letters, digits, dots and hyphens"],
    ["PublicIP", "text", "an IPv4 or IPv6 address"],
    ["Metadata", "map", "key=value,key=value, at most 100 of them; keys of letters, digits and _./:-"],
    ["MayLead", "boolean", yesOrNo],
  ],
  Git: [
    ["URL", "text", "https://, http://, ssh://, file://, user@host:path or an absolute path"],
    ["Branch", "text", "a branch name, without blanks and without any of ~ ^ : ? * [ \\ and .."],
    ["Path", "text", "a folder of the repository, relative to its root and without .."],
    ["Schedule", "text", "a cron expression of five or six fields"],
    ["Jitter", "duration", "a time span"],
    ["Username", "text", "a user name without a colon"],
    ["Token", "secret", oneLineSecret],
    ["TokenFile", "secret-file", absolutePath],
    ["Password", "secret", oneLineSecret],
    ["PasswordFile", "secret-file", absolutePath],
    ["CAFile", "path", absolutePath],
    ["SSHKeyFile", "path", absolutePath],
    ["KnownHostsFile", "path", absolutePath],
    ["Timeout", "duration", "a time span"],
  ],
  Registry: [
    ["Endpoints", "list", "URLs such as https://10.0.0.1:2379, all https or all http"],
    ["Prefix", "text", "a path such as /flotilla/, beginning and ending with a slash"],
    ["Username", "text", "a user name"],
    ["Password", "secret", oneLineSecret],
    ["PasswordFile", "secret-file", absolutePath],
    ["CAFile", "path", absolutePath],
    ["CertFile", "path", absolutePath],
    ["KeyFile", "path", absolutePath],
    ["RequestTimeout", "duration", "a time span"],
  ],
  Etcd: [
    ["Role", "choice", "member or client"],
    ["Name", "text", "a name of at most 255 characters, without blanks and without any of , ="],
    ["PeerURLs", "list", peerUrls],
    ["ClientURLs", "list", "URLs with a port that other machines can reach, such as http://10.0.0.1:2379"],
    ["DataDirectory", "path", absolutePath],
    ["Discovery", "text", "an http:// or https:// URL whose path ends in the token"],
    ["DiscoveryToken", "secret", oneLineSecret],
    ["DiscoveryEndpoints", "list", "URLs such as https://10.0.0.1:2379, all https or all http"],
    ["DiscoveryUsername", "text", "a user name without a colon"],
    ["DiscoveryPassword", "secret", oneLineSecret],
    ["DiscoveryPasswordFile", "secret-file", absolutePath],
    ["DiscoveryCAFile", "path", absolutePath],
    ["DiscoveryCertFile", "path", absolutePath],
    ["DiscoveryKeyFile", "path", absolutePath],
    ["DiscoverySRV", "text", "a domain name"],
    ["DiscoverySRVName", "text", "letters, digits and hyphens"],
    ["InitialCluster", "list", "NAME=URL,NAME=URL with a port in each URL"],
    ["InitialClusterToken", "text", "a word of at most 2048 characters, without blanks"],
    ["InitialClusterState", "choice", "new or existing"],
    ["PeerCAFile", "path", absolutePath],
    ["PeerCertFile", "path", absolutePath],
    ["PeerKeyFile", "path", absolutePath],
  ],
  Systemd: [
    ["Scope", "choice", "system or user"],
    ["Address", "text", "unix:path= and an absolute path"],
    ["UnitDirectory", "path", absolutePath],
    ["Concurrency", "count", "a whole number"],
  ],
  API: [
    ["Group", "text", "the name or the number of a group"],
    ["Listen", "list", "addresses with a port, such as 127.0.0.1:8080 or [::]:8080, at most 16 of them"],
    ["TLSCertFile", "path", absolutePath],
    ["TLSKeyFile", "path", absolutePath],
    ["TLSClientCAFile", "path", absolutePath],
    ["Token", "secret", oneLineSecret],
    ["TokenFile", "secret-file", absolutePath],
  ],
  Agent: [
    ["MachineLease", "duration", "a time span"],
    ["EngineLease", "duration", "a time span"],
    ["StateDirectory", "path", absolutePath],
    ["RunDirectory", "path", absolutePath],
    ["Socket", "path", "an absolute path of at most 107 bytes"],
    ["AllowSubmit", "boolean", yesOrNo],
    ["RebalancePerMinute", "count", "a whole number from 0 to 600"],
    ["LossBrake", "text", "a percentage from 1% to 100%"],
    ["LogLevel", "choice", "debug, info, warn or error"],
    ["LogFormat", "choice", "text or json"],
  ],
};

/** `SSHKeyFile` -> `ssh-key-file`, `PublicIP` -> `public-ip`, `PeerURLs` -> `peer-urls`. */
function kebab(name: string): string {
  return name
    .replace(/URLs/g, "Urls")
    .replace(/([a-z0-9])([A-Z])/g, "$1-$2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1-$2")
    .toLowerCase();
}

function option(section: SectionName, [key, kind, must]: Row): Option {
  const words = section === "Agent" ? kebab(key) : `${kebab(section)}-${kebab(key)}`;
  const properties: Readonly<Record<string, ValueSchema>> = schema.properties[section].properties;
  const value = properties[key];
  if (value === undefined) throw new Error(`schemas/settings.json lacks ${section}.${key}`);
  return {
    name: `${section}.${key}`,
    section,
    key,
    kind,
    must,
    variable: `FLOTILLA_${words.replaceAll("-", "_").toUpperCase()}`,
    flag: kind === "secret" ? undefined : `--${words}`,
    insteadOf:
      kind === "secret"
        ? `${section}.${key}File`
        : kind === "secret-file"
          ? `${section}.${key.slice(0, -"File".length)}`
          : undefined,
    schema: value,
  };
}

/** Every option, in the order in which documents show them. */
export const options: readonly Option[] = sectionNames.flatMap((section) =>
  rows[section].map((row) => option(section, row)),
);

const byOptionName: ReadonlyMap<string, Option> = new Map(options.map((each) => [each.name, each]));

/** The option of this name (`Git.URL`); undefined when the table has none. */
export function findOption(name: string): Option | undefined {
  return byOptionName.get(name);
}
