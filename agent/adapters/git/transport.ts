// How bytes come from a repository: one interface, four ways (http, https, ssh, local path), and the bounds of all of them.
// Given to the poll in the main thread and to the store in its worker. A transport loads only when it is used.
import type { Location } from "./location.ts";

/** What is needed to reach a repository, as plain data: it crosses to the worker. Holds secrets, so it is never logged. */
export interface Access {
  readonly location: Location;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly caFile: string | undefined;
  readonly sshKeyFile: string | undefined;
  readonly knownHostsFile: string | undefined;
  /** Only what children and proxies may see; made by `pickEnvironment`. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Chunks as they came; never more than the bound of the call. Every call rejects with a Problem. */
export interface Transport {
  /** The refs, as smart HTTP frames them (`# service=git-upload-pack`, or `version 2` where both sides speak it). */
  advertise(signal: AbortSignal): Promise<readonly Uint8Array[]>;
  /** One request to upload-pack and its whole answer. After `advertise`. */
  exchange(body: Uint8Array, signal: AbortSignal): Promise<readonly Uint8Array[]>;
  /** Ends what was started; resolves when it has ended. */
  close(): Promise<void>;
}

export const maxAdvertisementBytes = 64 * 1024 * 1024;
/** A pack is held in memory while it is indexed; a repository of unit files is far below this. */
export const maxAnswerBytes = 512 * 1024 * 1024;
export const connectMs = 15_000;
/** No byte for this long means that nobody is there; upload-pack itself sends a sign of life every 5 s. */
export const idleMs = 30_000;
export const maxRedirects = 5;
/** Of what a program or server says about its failure. */
export const maxComplaintBytes = 4096;

/** `protocol` 2 asks for refs by prefix; only http can promise it, the others answer in version 0. */
export async function openTransport(access: Access, protocol: 0 | 2): Promise<Transport> {
  const { location } = access;
  switch (location.kind) {
    case "http": {
      const { openHttp } = await import("./http.ts");
      return await openHttp({ ...access, location }, protocol);
    }
    case "ssh": {
      const { openSsh } = await import("./process.ts");
      return await openSsh({ ...access, location });
    }
    case "local": {
      const { openLocal } = await import("./process.ts");
      return openLocal({ ...access, location });
    }
  }
}

const passedOn = ["PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE"];
const proxies = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"];

/** The part of the environment that transports and their children may see: no NODE_OPTIONS, no GIT_*, no secrets of others. */
export function pickEnvironment(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const names = [...passedOn, ...proxies, ...proxies.map((name) => name.toUpperCase())];
  return Object.fromEntries(
    names.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}
