// What a scenario of the client is: its id in the catalogue of fleet's behaviour, the files of whoever types, and what is typed
// with all that comes of it. Its units have names of their own: scenarios share one cluster, and run at the same time.

export interface Scenario {
  /** `F-419`. */
  readonly id: string;
  readonly what: string;
  /** By path in the folder where is typed. */
  readonly files?: Readonly<Record<string, string>>;
  /** Whether it matters which machine it is. */
  readonly namesMachines?: boolean;
  readonly says: string;
}

/** A service that runs until it is stopped. */
export function service(more = ""): string {
  return `[Service]\nExecStart=/bin/sleep infinity\n${more}`;
}

/** The same service under several names. */
export function services(names: readonly string[], text = service()): Readonly<Record<string, string>> {
  return Object.fromEntries(names.map((name) => [name, text]));
}

/**
 * What a unit says before it ends, for a shell. A machine's systemd is a user's here, and tells the journal nothing of whose a
 * line is: the journal looks at the process, which has to be there until the journal has looked.
 */
export function lastWords(words: string): string {
  return `echo ${words}; journalctl --sync`;
}
