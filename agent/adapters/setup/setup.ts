// This machine as something to be set up, behind ports/host-setup.ts: the table of who does which kind of step, and what is
// the same for all of them. Given to wire. Changes nothing unless told to apply.
import { access, readFile } from "node:fs/promises";
import { hostname as kernelName, release } from "node:os";
import type { Looked, SetupFacts, Step, StepKind } from "../../domain/first-boot.ts";
import { Problem, asProblem } from "../../domain/problem.ts";
import type { Clock } from "../../ports/clock.ts";
import type { HostSetup } from "../../ports/host-setup.ts";
import type { Log } from "../../ports/log.ts";
import { findAccount } from "./accounts.ts";
import { type Around, type Doer, at, isLive, unlessMissing } from "./around.ts";
import { command, packages } from "./commands.ts";
import { phoneHome, power } from "./ending.ts";
import { block, contentsOf, file, isOurs, link, remove, unmask, variables } from "./files.ts";
import { hostname } from "./hostname.ts";
import { authorizedKeys } from "./keys.ts";
import { label } from "./label.ts";
import { Manager } from "./manager.ts";
import { Programs } from "./programs.ts";
import { mount, swap } from "./storage.ts";
import { enable, hasUnit, reload, unit } from "./units.ts";
import { group, lock, password, user } from "./users.ts";

export interface SetupOptions {
  /** "/" for the machine itself. Any other folder stands for a machine that does not run: files and accounts only. */
  readonly root?: string;
  /** Paths of systemd's sockets, tried in this order; none where no systemd may be asked. */
  readonly sockets?: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** What the provider calls this machine. */
  readonly instanceId?: string | undefined;
  /** Path of this very program, for units that run it. */
  readonly flotilla: string;
}

const usualSockets = ["/run/systemd/private", "/run/dbus/system_bus_socket"];

/** Accounts that images bring along for people to log in with. */
const imageUsers = [
  ...["core", "debian", "ubuntu", "fedora", "rocky", "almalinux", "centos", "opensuse", "arch"],
  ...["cloud-user", "ec2-user", "admin"],
];

const doers: { readonly [Kind in StepKind]: Doer<Kind> } = {
  hostname,
  group,
  user,
  password,
  lock,
  "authorized-keys": authorizedKeys,
  file,
  block,
  variables,
  link,
  remove,
  unmask,
  swap,
  mount,
  command,
  packages,
  reload,
  enable,
  unit,
  "phone-home": phoneHome,
  power,
};

export function createHostSetup(options: SetupOptions): HostSetup {
  const { root = "/", clock, log, instanceId, flotilla } = options;
  const sockets = options.sockets ?? (root === "/" ? usualSockets : []);
  const around: Around = {
    root,
    programs: new Programs(root),
    manager: new Manager({ sockets, clock, log }),
    clock,
    log,
    instanceId,
  };
  return {
    facts: async ({ units, programs, paths }) => ({
      ...(await ownFacts(around)),
      units: await those(units, (name) => hasUnit(around, name)),
      programs: await those(programs, async (name) => (await around.programs.find(name)) !== undefined),
      paths: await those(paths, async (path) => {
        return (await unlessMissing(access(at(around, path)).then(() => true))) === true;
      }),
      ours: await those(paths, (path) => isOurs(around, path)),
      contents: await contentsOf(around, paths),
      flotilla,
    }),
    look: (step) => looked(step, around),
    check: (step, before) => checked(step, around, before),
    async apply(step, signal, warn) {
      signal.throwIfAborted();
      if (!isLive(around) && ofMachine.has(step.kind)) throw notHere(step, around);
      const paths = await applied(step, around, signal);
      const warning = (await hasLabels(paths, around))
        ? await label(paths, { programs: around.programs, signal })
        : undefined;
      if (warning !== undefined) warn?.(warning);
      return paths;
    },
    unitStates: (units) => around.manager.states(units),
    close: () => around.manager.close(),
  };
}

/** What cannot be done to a folder, only to the machine that this process runs on. */
const ofMachine: ReadonlySet<StepKind> = new Set(["packages", "mount", "power"]);

function notHere({ id }: Step, { root }: Around): Problem {
  return new Problem("setup-root", `Cannot carry out "${id}" below ${root}`, {
    hint: "It would be done to this machine instead",
  });
}

/** The one place where a step meets the doer of its kind; the table's type says that they fit. */
function doerOf(step: Step): Doer<StepKind> {
  return doers[step.kind] as unknown as Doer<StepKind>;
}

async function looked(step: Step, around: Around): Promise<Looked> {
  return doerOf(step).look(step, around);
}

/** A check that cannot be made is a problem of the step, not of the run. */
async function checked(step: Step, around: Around, before: readonly Step[]): Promise<readonly Problem[]> {
  try {
    return await doerOf(step).check(step, around, before);
  } catch (error) {
    return [asProblem(error, "setup-check", `Cannot tell whether "${step.id}" can be carried out`)];
  }
}

async function applied(step: Step, around: Around, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await doerOf(step).apply(step, around, signal);
  } catch (error) {
    if (signal.aborted) throw new Problem("aborted", `Cannot go on with "${step.id}"`, { cause: signal.reason });
    throw asProblem(error, "setup-apply", `Cannot carry out "${step.id}"`);
  }
}

/** Whether SELinux is on, and there is something for it. */
async function hasLabels(paths: readonly string[], around: Around): Promise<boolean> {
  if (paths.length === 0 || !isLive(around)) return false;
  return (await unlessMissing(access("/sys/fs/selinux/enforce").then(() => true))) === true;
}

async function ownFacts(
  around: Around,
): Promise<Omit<SetupFacts, "units" | "programs" | "paths" | "ours" | "contents" | "flotilla">> {
  const read = async (path: string): Promise<string> =>
    ((await unlessMissing(readFile(at(around, path), "utf8"))) ?? "").trim();
  const releaseText = (await read("/etc/os-release")) || (await read("/usr/lib/os-release"));
  return {
    hostname: isLive(around) ? kernelName() : await read("/etc/hostname"),
    machineId: await read("/etc/machine-id"),
    bootId: (await read("/proc/sys/kernel/random/boot_id")).replaceAll("-", ""),
    kernel: isLive(around) ? release() : "",
    systems: systemsOf(releaseText),
    defaultUser: await defaultUser(around),
  };
}

/** ID and ID_LIKE of os-release(5). */
function systemsOf(text: string): readonly string[] {
  const value = (name: string): readonly string[] => {
    const line = text.split("\n").find((each) => each.startsWith(`${name}=`));
    const word = line?.slice(name.length + 1).replaceAll(/["']/g, "") ?? "";
    return word.split(/\s+/).filter((each) => each !== "");
  };
  return [...new Set([...value("ID"), ...value("ID_LIKE")])];
}

async function defaultUser(around: Around): Promise<string> {
  for (const name of imageUsers) if ((await findAccount(around, name)) !== undefined) return name;
  return "root";
}

async function those(
  names: readonly string[],
  holds: (name: string) => Promise<boolean>,
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const name of names) if (await holds(name)) found.add(name);
  return found;
}
