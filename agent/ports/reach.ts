// How a command reaches the cluster: where an agent's API is, what opens it, and how ssh goes from machine to machine.
// Read once from the command line and the environment; handed to the API's client and to ports/machine-shell.ts.
import type { SshAddress } from "../domain/ssh-address.ts";

/** A unix socket by its absolute path, or an origin such as `https://10.0.0.1:2379` without a slash at its end. */
export type Endpoint =
  { readonly kind: "unix"; readonly path: string } | { readonly kind: "http"; readonly origin: string };

/** PEM files; a certificate and its key come together. */
export interface TlsFiles {
  readonly caFile?: string | undefined;
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
}

/** Where the word is that opens an API: in a file, or as it was given. It is shown to nobody. */
export type TokenSource =
  { readonly kind: "file"; readonly path: string } | { readonly kind: "given"; readonly token: string };

/** What is said to ssh(1). What is left out is as the user's own configuration of ssh has it. */
export interface SshOptions {
  /** The machine through which everything goes; undefined: straight. */
  readonly tunnel?: SshAddress | undefined;
  readonly username?: string | undefined;
  /** 1 to 65535, of the machines; a tunnel has its own. */
  readonly port?: number | undefined;
  /** To connect, for each hop. */
  readonly timeoutMs: number;
  /** True: an unknown key is asked for, a changed one refused. False: any key is taken and none is kept. */
  readonly checkHostKeys?: boolean | undefined;
  /** A path as the user wrote it: ssh knows "~". */
  readonly knownHostsFile?: string | undefined;
}

export interface Reach {
  readonly endpoint: Endpoint;
  readonly tls: TlsFiles;
  readonly token?: TokenSource | undefined;
  readonly ssh: SshOptions;
}

/** fleet's bound. */
export const usualSshTimeoutMs = 10_000;

/** A socket of this machine, with nothing else said. */
export function socketReach(path: string): Reach {
  return { endpoint: { kind: "unix", path }, tls: {}, ssh: { timeoutMs: usualSshTimeoutMs } };
}
