// fleet's command line as its scripts have it, in the words of ours: options that were known by
// other names, that took "=true", or that mean nothing any more. Pure; given to fleetctl.ts.
import { Problem } from "../domain/problem.ts";

export interface FleetWords {
  /** For our own parser. */
  readonly argv: readonly string[];
  /** What is passed over, one line for each: for stderr. */
  readonly notes: readonly string[];
  /** Asked for etcd itself instead of the API: what is said of endpoints means another program. */
  readonly meantEtcd: boolean;
}

/** Long forms of one letter: the way in which fleet's last version took its short ones. */
const letters: Readonly<Record<string, string>> = {
  "--l": "--full",
  "--f": "--follow",
  "--A": "--forward-agent",
  "--h": "--help",
};

/** Options without a value, which fleet took with one as well: `--full=true`. */
const flags: ReadonlySet<string> = new Set([
  ...[
    "--full",
    "--no-legend",
    "--no-block",
    "--replace",
    "--follow",
    "--sudo",
    "--forward-agent",
    "--help",
    "--version",
  ],
  ...["--debug", "--experimental-api", "--sign"],
]);

/** Taken and not used, and why. */
const unused: Readonly<Record<string, string>> = {
  "--debug": "what the agent does stands in its journal",
  "--experimental-api": "there is one API",
  "--sign": "units were never signed since fleet 0.7",
  "--driver": "it is always the API that is asked",
  "--etcd-key-prefix": "the agent alone knows etcd",
  "--etcd-keyfile": "the agent alone knows etcd",
  "--etcd-certfile": "the agent alone knows etcd",
  "--etcd-cafile": "the agent alone knows etcd",
  "--request-timeout": "it was for etcd",
};

/** Those of them behind which a value stands. */
export const unusedValued: readonly string[] = Object.keys(unused).filter((name) => !flags.has(name));

const booleanWords: Readonly<Record<string, boolean>> = {
  ...{ "1": true, t: true, T: true, true: true, TRUE: true, True: true },
  ...{ "0": false, f: false, F: false, false: false, FALSE: false, False: false },
};

/** What stands behind "--" is left as it is. Throws Problem "fleet-driver" for a driver that fleet had not either. */
export function readFleetWords(
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): FleetWords {
  const argv: string[] = [];
  const notes: string[] = [];
  let driver = env["FLEETCTL_DRIVER"] ?? "";
  if (driver !== "" && !isApi(driver)) notes.push(`WARNING: FLEETCTL_DRIVER is passed over: ${unused["--driver"]}`);
  const end = given.indexOf("--");
  const ours = end < 0 ? given : given.slice(0, end);
  for (let at = 0; at < ours.length; at++) {
    const word = ours[at] ?? "";
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    const typed = equals < 0 ? word : word.slice(0, equals);
    const name = letters[typed] ?? typed;
    let value = equals < 0 ? undefined : word.slice(equals + 1);
    const why = unused[name];
    if (why === undefined) {
      argv.push(...(flags.has(name) ? flagWords(name, value) : [value === undefined ? name : `${name}=${value}`]));
      continue;
    }
    if (value === undefined && !flags.has(name)) value = ours[++at] ?? "";
    if (name === "--driver") driver = value ?? "";
    // The usual driver, said aloud, is no news
    if (name !== "--driver" || !isApi(value ?? "")) notes.push(`WARNING: ${name} is passed over: ${why}`);
  }
  if (driver !== "" && !isApi(driver) && driver.toLowerCase() !== "etcd") {
    throw new Problem("fleet-driver", `Unable to initialize client: unrecognized driver "${driver.slice(0, 64)}"`);
  }
  const meantEtcd = driver.toLowerCase() === "etcd";
  const kept = meantEtcd ? withoutEndpoint(argv) : argv;
  if (kept.length < argv.length) notes.push("WARNING: --endpoint is passed over: with --driver=etcd it is etcd's own");
  return { argv: end < 0 ? kept : [...kept, ...given.slice(end)], notes, meantEtcd };
}

function withoutEndpoint(argv: readonly string[]): readonly string[] {
  return argv.filter(
    (word, at) => word !== "--endpoint" && argv[at - 1] !== "--endpoint" && !word.startsWith("--endpoint="),
  );
}

function isApi(driver: string): boolean {
  return driver.toLowerCase() === "api";
}

/** `--full=false` is as if it had not been said; a value that is none is left for the parser to refuse. */
function flagWords(name: string, value: string | undefined): readonly string[] {
  if (value === undefined) return [name];
  const meant = Object.hasOwn(booleanWords, value) ? booleanWords[value] : undefined;
  if (meant === undefined) return [`${name}=${value}`];
  return meant ? [name] : [];
}

/** What holds when nothing is said, by flag. */
export const usualValues: Readonly<Record<string, string>> = {
  "--ssh-username": "core",
  "--strict-host-key-checking": "true",
  "--known-hosts-file": "~/.fleetctl/known_hosts",
};

function variableOf(flag: string): string {
  return `FLEETCTL_${flag.slice(2).toUpperCase().replaceAll("-", "_")}`;
}

/**
 * The environment as fleet's options had it when nothing was said: user core, fleet's file of host keys, its
 * socket where there is one.
 */
export function fleetEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  { hasFleetSocket, meantEtcd }: { readonly hasFleetSocket: boolean; readonly meantEtcd: boolean },
): Readonly<Record<string, string | undefined>> {
  const usual = {
    ...Object.fromEntries(Object.entries(usualValues).map(([flag, value]) => [variableOf(flag), value])),
    ...(hasFleetSocket ? { FLEETCTL_ENDPOINT: fleetEndpoint } : {}),
  };
  const said = Object.entries(env).filter(
    ([name, value]) => value !== "" && !(meantEtcd && name === "FLEETCTL_ENDPOINT"),
  );
  // fleet's tables had no colour
  return { ...usual, ...Object.fromEntries(said), NO_COLOR: "1" };
}

export const fleetSocket = "/var/run/fleet.sock";
const fleetEndpoint = `unix://${fleetSocket}`;
