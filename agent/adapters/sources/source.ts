// What a source is to the search: one question that is answered with what was found, or why not. Shared by all sources.
import { Problem } from "../../domain/problem.ts";
import type { InstanceMetadata } from "../../domain/user-data.ts";
import type { FoundUserData, SourceName } from "../../ports/user-data-sources.ts";
import type { Run } from "./child-program.ts";
import type { Identity } from "./identity.ts";
import type { MetadataHttp } from "./metadata-http.ts";
import type { Volumes } from "./volumes.ts";

/** No provider takes more than 256 KiB; a file of one's own may hold a little more. */
export const maxUserDataBytes = 1024 * 1024;
/** One value or document of metadata. */
export const maxMetadataBytes = 64 * 1024;

export interface Asking {
  /** Stands before every path of the machine. */
  readonly root: string;
  readonly identity: Identity;
  readonly http: MetadataHttp;
  readonly volumes: Volumes;
  readonly run: Run;
  /** Somebody said that this source is the one: it is asked whatever the firmware says, and waited for. */
  readonly isInsisted: boolean;
  /** `--from-file` and `--from-url`. */
  readonly file: string | undefined;
  readonly url: string | undefined;
  readonly signal: AbortSignal;
}

export type Answer =
  | { readonly kind: "found"; readonly found: FoundUserData }
  /** For certain: asking again would not help. */
  | { readonly kind: "absent"; readonly why: string }
  /** It may come: asked again, until the search is over or, with `untilMs`, has taken as long as that. */
  | { readonly kind: "later"; readonly why: string; readonly untilMs?: number };

export interface Source {
  readonly name: SourceName;
  /**
   * Asks once. Rejects with Problem "source-later" when it could not be asked (that may pass), and with any other when
   * what it has cannot be used.
   */
  ask(asking: Asking): Promise<Answer>;
}

export function absent(why: string): Answer {
  return { kind: "absent", why };
}

export function later(why: string, untilMs?: number): Answer {
  return { kind: "later", why, ...(untilMs === undefined ? {} : { untilMs }) };
}

export function found(source: SourceName, rest: Omit<FoundUserData, "source">): Answer {
  return { kind: "found", found: { source, ...rest } };
}

/** Something is there, but it is not what it should be. */
export function unfit(message: string, hint?: string, cause?: unknown): Problem {
  return new Problem("source-unfit", message, { hint, cause });
}

export const noMetadata: InstanceMetadata = { instanceId: undefined, hostname: undefined, sshKeys: [], addresses: {} };
export const noUserData: Uint8Array = new Uint8Array(0);
