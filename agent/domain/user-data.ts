// What a machine was given at its first boot, read and checked: the cloud-config dialect as data. Made by userdata/,
// turned into a plan by firstboot/. Every item keeps its place, so that what goes wrong later can still be pointed at.
import type { Place, Problem } from "./problem.ts";
import type { Secret } from "./settings.ts";

/** `error` refuses the document; `warning` is said and gone past; `info` is worth knowing. */
export type Severity = "error" | "warning" | "info";

/** One thing that was noticed about user-data. `problem.at` has line, column and key path wherever they are known. */
export interface Finding {
  readonly severity: Severity;
  readonly problem: Problem;
}

export const addressNames = ["private_ipv4", "public_ipv4", "private_ipv6", "public_ipv6"] as const;
/** The tokens `$private_ipv4` and so on. */
export type AddressName = (typeof addressNames)[number];

/** The machine's addresses as far as they are known, and for each where it was looked for, in order ("metadata of ec2: none"). */
export interface Addresses {
  readonly values: Readonly<Partial<Record<AddressName, string>>>;
  readonly looked: Readonly<Record<AddressName, readonly string[]>>;
}

/** What a provider says of the machine beside its user-data. */
export interface InstanceMetadata {
  /** Differs for each instance; undefined: the source has none. */
  readonly instanceId: string | undefined;
  readonly hostname: string | undefined;
  readonly sshKeys: readonly string[];
  readonly addresses: Readonly<Partial<Record<AddressName, string>>>;
}

/** All parts of one payload, as one. */
export interface UserData {
  /** `empty` is no mistake; `ignition` is another program's and is left alone. */
  readonly kind: "cloud-config" | "script" | "multipart" | "empty" | "ignition";
  /** All cloud-config parts merged in their order: lists joined, mappings merged, a later scalar wins. Empty where there is none. */
  readonly config: CloudConfig;
  /** Parts that begin with "#!", in order. Addresses are put in. */
  readonly scripts: readonly Script[];
}

export interface Script {
  /** Of the MIME part, or "user-data"; a plain file name. */
  readonly name: string;
  readonly text: string;
  readonly at: Place;
}

/** A command line: text goes through a shell, a list does not (cloud-init's runcmd). */
export type CommandLine =
  | { readonly kind: "shell"; readonly text: string; readonly at: Place }
  | { readonly kind: "argv"; readonly argv: readonly string[]; readonly at: Place };

/** A scalar with its place. */
export interface Placed<T> {
  readonly value: T;
  readonly at: Place;
}

/** One key of a section that only passes names and values on: underscores in the key, the value as its source text says it. */
export interface Entry {
  readonly key: string;
  /** Booleans are "true" or "false". Metadata given as list or mapping has become `k=v,k=v`. */
  readonly value: string;
  /** A password: in no log, plan or problem. */
  readonly isSecret: boolean;
  readonly at: Place;
}

export interface UserEntry {
  readonly name: string;
  readonly at: Place;
  /** Hash for the shadow file (`passwd`, `hashed_passwd`): set at first, and when the document has another one. */
  readonly passwordHash: Secret | undefined;
  /** `plain_text_passwd`: hashed by us before it is given on. */
  readonly password: Secret | undefined;
  /** Undefined: not said; a new account is then locked unless it has a hash. */
  readonly lockPassword: boolean | undefined;
  readonly gecos: string | undefined;
  readonly homedir: string | undefined;
  readonly createHome: boolean;
  readonly primaryGroup: string | undefined;
  readonly groups: readonly string[];
  readonly userGroup: boolean;
  readonly system: boolean;
  readonly logInit: boolean;
  readonly shell: string | undefined;
  readonly uid: number | undefined;
  /** YYYY-MM-DD. */
  readonly expireDate: string | undefined;
  /** Lines of sudoers(5) without the name in front; false takes an earlier file away; undefined: not said. */
  readonly sudo: readonly string[] | false | undefined;
  readonly sshAuthorizedKeys: readonly Placed<string>[];
}

export interface FileEntry {
  /** Absolute and clean: no "..", no "//". */
  readonly path: string;
  /** Decoded. Addresses are put in where the content was not encoded. */
  readonly content: Uint8Array;
  /** Undefined: 0644 for a new file. */
  readonly mode: number | undefined;
  /** Name or id; undefined: root. */
  readonly owner: string | undefined;
  readonly group: string | undefined;
  readonly append: boolean;
  /** Written after packages, users and runcmd's predecessors: cloud-init's `defer`. */
  readonly defer: boolean;
  readonly at: Place;
}

export type UnitCommand =
  "start" | "stop" | "restart" | "reload" | "try-restart" | "reload-or-restart" | "reload-or-try-restart";

export interface UnitEntry {
  /** With its suffix. Networkd's .network, .netdev and .link as well. */
  readonly name: string;
  /** Undefined: the unit is expected to be there. */
  readonly content: string | undefined;
  readonly runtime: boolean;
  readonly enable: boolean;
  readonly mask: boolean;
  readonly command: UnitCommand | undefined;
  readonly dropIns: readonly { readonly name: string; readonly content: string; readonly at: Place }[];
  readonly at: Place;
}

export interface MountEntry {
  /** The six fields of fstab(5); 2 to 6 were given, the rest are defaults. `mountPoint` "none" for swap. */
  readonly device: string;
  readonly mountPoint: string;
  readonly type: string;
  readonly options: string;
  readonly dump: string;
  readonly pass: string;
  readonly at: Place;
}

/** One line of the agent's own settings (`flotilla: {git: {url: ...}}`): section and key as in flotilla.conf. */
export interface SettingEntry {
  readonly section: string;
  readonly key: string;
  readonly value: string;
  readonly isSecret: boolean;
  readonly at: Place;
}

export interface CloudConfig {
  readonly hostname: Placed<string> | undefined;
  readonly fqdn: Placed<string> | undefined;
  readonly preferFqdn: boolean;
  readonly preserveHostname: boolean;
  /** `replace`: CoreOS's `localhost` (one line); `add`: cloud-init's `true` and `localhost` where fqdn or hostname is known. */
  readonly manageEtcHosts: "no" | "replace" | "add";
  /** For the image's default account (`core` where there is one). */
  readonly sshAuthorizedKeys: readonly Placed<string>[];
  /** Undefined: no `users` at all. `default` in the list keeps the image's own account. */
  readonly users: { readonly withDefault: boolean; readonly entries: readonly UserEntry[] } | undefined;
  readonly groups: readonly { readonly name: string; readonly members: readonly string[]; readonly at: Place }[];
  readonly writeFiles: readonly FileEntry[];
  readonly bootCommands: readonly CommandLine[];
  readonly runCommands: readonly CommandLine[];
  readonly timezone: Placed<string> | undefined;
  readonly locale: Placed<string> | undefined;
  readonly keyboard: Placed<{ readonly layout: string; readonly model: string; readonly variant: string }> | undefined;
  readonly ntp:
    | Placed<{ readonly enabled: boolean; readonly servers: readonly string[]; readonly pools: readonly string[] }>
    | undefined;
  readonly mounts: readonly MountEntry[];
  readonly swap:
    | Placed<{
        readonly file: string;
        readonly sizeBytes: number | "auto";
        readonly maxSizeBytes: number | undefined;
      }>
    | undefined;
  readonly caCerts: Placed<{ readonly removeDefaults: boolean; readonly trusted: readonly string[] }> | undefined;
  readonly packages: readonly Placed<string>[];
  readonly packageUpdate: boolean;
  readonly packageUpgrade: boolean;
  readonly packageRebootIfRequired: boolean;
  readonly sshPasswordAuth: Placed<boolean> | undefined;
  readonly disableRoot: Placed<boolean> | undefined;
  /** New host keys on a machine whose image brought some along (a cloned image). */
  readonly sshDeleteKeys: Placed<boolean> | undefined;
  readonly sshKeyTypes: readonly string[];
  /** Host keys given: `rsa_private` and so on. */
  readonly sshKeys: readonly { readonly type: string; readonly text: Secret; readonly at: Place }[];
  readonly passwords: {
    readonly expire: boolean;
    readonly list: readonly {
      readonly user: string;
      readonly password: Secret;
      readonly isHash: boolean;
      readonly at: Place;
    }[];
  };
  readonly powerState:
    | Placed<{ readonly mode: "poweroff" | "reboot" | "halt"; readonly delay: string; readonly message: string }>
    | undefined;
  readonly phoneHome:
    Placed<{ readonly url: string; readonly post: readonly string[]; readonly tries: number }> | undefined;
  readonly finalMessage: string | undefined;
  readonly units: readonly UnitEntry[];
  /** Keys of etcd and etcd2 together, in etcd2's names where they mean the same; undefined: neither section is there. */
  readonly etcd: readonly Entry[] | undefined;
  readonly fleet: readonly Entry[];
  readonly flannel: readonly Entry[];
  readonly locksmith: readonly Entry[];
  readonly update: readonly Entry[];
  readonly oem: readonly Entry[];
  readonly settings: readonly SettingEntry[];
}

/** What was read, if it can be used, and everything that was noticed, in the order of lines. */
export interface UserDataReading {
  /** Undefined when an error refuses the document. What reaches the machine (hostname, keys) may still be usable: `reach`. */
  readonly userData: UserData | undefined;
  /** The parts that let somebody log in, as far as they could be read at all, also from a document that is refused. */
  readonly reach: Pick<
    CloudConfig,
    "hostname" | "fqdn" | "preferFqdn" | "preserveHostname" | "sshAuthorizedKeys" | "users" | "groups"
  >;
  readonly findings: readonly Finding[];
  /** Address tokens in it, each with its first place. */
  readonly tokens: ReadonlyMap<AddressName, Place>;
}
