// The plan of a boot: what a machine has to become, as steps. Made by firstboot/ (pure), looked at and carried out through
// ports/host-setup.ts, printed as a diff, and recorded by digest so that the next boot knows what is already so.
import type { Place } from "./problem.ts";
import type { Secret } from "./settings.ts";
import type { UnitCommand, UserEntry } from "./user-data.ts";

/**
 * Order of work. `reach` (hostname, accounts, keys) comes first, each step on its own: its failure stops nothing else.
 * Everything after it is checked whole before it begins. `late` comes after the units were told to start.
 */
export type Stage = "reach" | "early" | "files" | "units" | "late";

/** How often a step is carried out. `converge`: at each boot, as far as the machine differs. */
export type Frequency = "converge" | "each-boot" | "once-per-instance";

interface StepBase {
  /** What it is about, unique in the plan and the same at each boot: "file /etc/motd", "user core", "unit etcd.service". */
  readonly id: string;
  readonly stage: Stage;
  readonly frequency: Frequency;
  /** Where in the user-data it comes from; undefined: it follows from others. */
  readonly at: Place | undefined;
  /**
   * Ids of steps before it, never empty: it is due only when one of them changed something, now or in a run that was cut
   * short before it came to this one (`isDue` of firstboot/ tells). Undefined: it stands for itself.
   */
  readonly onlyAfter?: readonly string[];
  /** Ids of steps before it: it is left out, and what is there stays, when one of them failed in this run. */
  readonly unlessFailed?: readonly string[];
}

export type Step = StepBase &
  (
    | { readonly kind: "hostname"; readonly hostname: string }
    | { readonly kind: "group"; readonly name: string; readonly members: readonly string[] }
    | { readonly kind: "user"; readonly user: UserWish }
    | {
        readonly kind: "password";
        readonly user: string;
        /** crypt(5) hash, or a plain text to be hashed. */
        readonly password: Secret;
        readonly isHash: boolean;
        readonly expire: boolean;
      }
    | { readonly kind: "lock"; readonly user: string; readonly locked: boolean }
    | {
        readonly kind: "authorized-keys";
        readonly user: string;
        /** Keys of one owner in the file: the set is replaced, other lines stay. No keys: the set goes. */
        readonly set: string;
        readonly keys: readonly string[];
        /** Keys of the set that are there stay: these may not be all that were meant. */
        readonly keeps?: boolean;
        /** Some of them are those of the provider. */
        readonly isProvided?: boolean;
      }
    | { readonly kind: "file"; readonly file: FileWish }
    /** Lines of ours between two marks in a file that others write as well (/etc/hosts, /etc/fstab). No lines: no marks either. */
    | { readonly kind: "block"; readonly path: string; readonly name: string; readonly lines: readonly string[] }
    /** `NAME=value` lines in a file of such lines, kept in place; others stay. */
    | {
        readonly kind: "variables";
        readonly path: string;
        readonly base: string | undefined;
        readonly values: Readonly<Record<string, string>>;
      }
    /** A link to `target`; a file that stands there is kept beside it under a name that says so. */
    | { readonly kind: "link"; readonly path: string; readonly target: string }
    /**
     * Something an earlier boot made and the user-data no longer has. What is not there is no failure. With `content`, the
     * SHA-256 of what was written: a file that holds anything else is somebody's by now, stays, and fails the step.
     */
    | { readonly kind: "remove"; readonly path: string; readonly content?: string }
    /** Takes an empty file or a link to /dev/null away that masks a unit; anything else that stands there stays. */
    | { readonly kind: "unmask"; readonly path: string }
    | {
        readonly kind: "swap";
        readonly file: string;
        readonly sizeBytes: number | "auto";
        readonly maxSizeBytes: number | undefined;
      }
    | { readonly kind: "mount"; readonly mountPoint: string }
    /** Waited for, however long it takes; it can be aborted. Fails unless it ends with 0. */
    | {
        readonly kind: "command";
        readonly argv: readonly string[];
        readonly input: Secret | undefined;
        readonly means: string;
      }
    | {
        readonly kind: "packages";
        readonly names: readonly string[];
        readonly update: boolean;
        readonly upgrade: boolean;
      }
    | { readonly kind: "reload" }
    /** What [Install] says; not `enabled`: its links are taken away, also when the unit's file is gone. */
    | { readonly kind: "enable"; readonly unit: string; readonly runtime: boolean; readonly enabled: boolean }
    /** Asked of systemd without waiting for the job; what becomes of it is reported afterwards. */
    | { readonly kind: "unit"; readonly unit: string; readonly command: UnitCommand }
    | { readonly kind: "phone-home"; readonly url: string; readonly fields: readonly string[]; readonly tries: number }
    | {
        readonly kind: "power";
        readonly mode: "poweroff" | "reboot" | "halt";
        readonly delay: string;
        readonly message: string;
      }
  );

export type StepKind = Step["kind"];
export type StepOf<Kind extends StepKind> = Extract<Step, { readonly kind: Kind }>;

/** What is said of an account itself; its password, its keys and what it may do are steps of their own. */
export type UserWish = Pick<
  UserEntry,
  | "name"
  | "gecos"
  | "homedir"
  | "createHome"
  | "primaryGroup"
  | "groups"
  | "userGroup"
  | "system"
  | "logInit"
  | "shell"
  | "uid"
  | "expireDate"
>;

export interface FileWish {
  readonly path: string;
  readonly content: Uint8Array;
  readonly mode: number;
  /** Names or ids. */
  readonly owner: string;
  readonly group: string;
  readonly append: boolean;
  /** Its content is shown to nobody: not in plans, diffs or logs. True wherever others than the owner may not read it. */
  readonly isSecret: boolean;
}

/** How the files begin that a boot makes for flotilla itself: a file without it is an operator's own. */
export const bootMark = "# Made by flotilla bootstrap";

/** What the plan needs to know of the machine beforehand. */
export interface SetupFacts {
  readonly hostname: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly kernel: string;
  /** ID and ID_LIKE of os-release(5), in this order. */
  readonly systems: readonly string[];
  /** The image's own account: `core`, `debian`, `fedora`, ..., else `root`. */
  readonly defaultUser: string;
  /** Which of the unit names that the plan may speak of are there, of those asked for. */
  readonly units: ReadonlySet<string>;
  /** Which programs are there, of those asked for: "update-ca-certificates", "timedatectl", "apt-get", ... */
  readonly programs: ReadonlySet<string>;
  /** Paths that exist, of those asked for. */
  readonly paths: ReadonlySet<string>;
  /** Of these the files that may be replaced: they begin with `bootMark`, or hold nothing but blanks and comments (#, ;). */
  readonly ours: ReadonlySet<string>;
  /** SHA-256 of the content of each of these paths that is a file, in hex. */
  readonly contents: ReadonlyMap<string, string>;
  /** Absolute path of this very program. */
  readonly flotilla: string;
}

/** A step as it stands on the machine now. */
export interface Looked {
  /** Nothing has to be done. */
  readonly same: boolean;
  /** What is there now, for the diff; undefined: nothing, or a secret. */
  readonly before: string | undefined;
  /** What it will be, in the same form. */
  readonly after: string | undefined;
}

export type StepResult =
  | { readonly kind: "same" | "done" | "skipped" }
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly hint?: string };

/** What the last run left behind: how the next one knows what is done, and what the document no longer has. */
export interface BootRecord {
  /** Of the last run. */
  readonly instanceId: string;
  /** Of the last run: a copied disk has a record, and is another machine all the same. */
  readonly machineId: string;
  /** Of the last run. */
  readonly bootId: string;
  /** Of the last run; left out by those that did not keep it. */
  readonly mode?: "alone" | "beside-cloud-init";
  /** By step id. */
  readonly steps: Readonly<Record<string, RecordedStep>>;
}

/** A step that was carried out, or found to be so already. */
export interface RecordedStep {
  readonly kind: StepKind;
  /** SHA-256 in hex of what was asked for; secrets are in it by their hash only. */
  readonly digest: string;
  readonly frequency: Frequency;
  readonly stage: Stage;
  /** What it wrote; for the kinds that have one, the unit, account or key set stands in the id. */
  readonly paths: readonly string[];
  readonly instanceId: string;
  readonly bootId: string;
  /** Wall ms. */
  readonly doneMs: number;
  /**
   * A boot made it so, rather than found it so: SHA-256 of the content of a file, of other kinds the digest of the step.
   * Undefined: it was there before, and is not to be undone.
   */
  readonly made?: string;
  /** Of a set of keys: some were the provider's, and a boot that hears nothing of it takes none away. */
  readonly isProvided?: boolean;
}
