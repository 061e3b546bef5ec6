// Steps "command" and "packages": programs that the user-data asks for, with what they say in the log, its end at least.
import { Problem } from "../../domain/problem.ts";
import { type Around, type Doer, isLive } from "./around.ts";

/** One command may install a whole system, but must not hold up the machine for good. */
const commandTimeoutMs = 30 * 60_000;
const packagesTimeoutMs = 60 * 60_000;
/** A package manager that is killed in its work leaves the system half installed. */
const packagesGraceMs = 5 * 60_000;
const askTimeoutMs = 60_000;
/** Lines of a command's output that are logged: the last ones. */
const loggedLines = 40;

export const command: Doer<"command"> = {
  look: async ({ means }) => ({ same: false, before: undefined, after: `${means}\n` }),
  async check({ argv, at }, around, before) {
    const [name = ""] = argv;
    if (!isLive(around) || (await around.programs.find(name)) !== undefined) return [];
    // It may come with a file or a package of this very plan
    const comes = before.some(
      (step) =>
        step.kind === "packages" || step.kind === "command" || (step.kind === "file" && step.file.path === name),
    );
    if (comes) return [];
    return [
      new Problem("program-missing", `Cannot find the program ${name}`, {
        hint: "Install it first (packages), or write it (write_files)",
        at,
      }),
    ];
  },
  async apply({ id, argv, input }, around, signal) {
    const { programs, log } = around;
    const ran = await programs.run(argv, { signal, timeoutMs: commandTimeoutMs, input: input?.reveal() });
    // What was given on stdin is a secret, and the program may have said it again
    const lines = input === undefined ? ran.all.trimEnd().split("\n").slice(-loggedLines) : [];
    for (const line of lines.filter((each) => each.trim() !== "")) log.info("setup.output", { step: id, line });
    if (ran.status === 0) return [];
    throw new Problem("program-failed", `Cannot finish "${id}": the program ended with status ${ran.status}`, {
      hint:
        input === undefined ? "Its last lines stand in the journal: journalctl -b -u flotilla-bootstrap" : undefined,
    });
  },
};

interface Installer {
  readonly program: string;
  readonly update: readonly string[];
  readonly upgrade: readonly string[];
  readonly install: readonly string[];
  /** Ends what an earlier run was cut short in. */
  readonly mend?: readonly string[];
  /** Ends with status 0 when all the packages that follow are there. */
  readonly asks: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** dpkg asks when a configuration file was changed by hand: the machine's own stays. */
const apt = ["apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=300"];
const installers: readonly Installer[] = [
  {
    program: "apt-get",
    update: ["apt-get", "-q", "update"],
    upgrade: [...apt, "dist-upgrade"],
    install: [...apt, "install", "--"],
    // A power cut in the midst of an installation would stand in the way of every later one
    mend: ["dpkg", "--configure", "-a", "--force-confold"],
    asks: ["dpkg-query", "--show", "--showformat", "${db:Status-Status}\n", "--"],
    env: { DEBIAN_FRONTEND: "noninteractive" },
  },
  ...["dnf", "yum"].map((program) => ({
    program,
    update: [program, "-q", "makecache"],
    upgrade: [program, "-q", "-y", "upgrade"],
    install: [program, "-q", "-y", "install", "--"],
    asks: ["rpm", "-q", "--whatprovides", "--"],
  })),
  {
    program: "zypper",
    update: ["zypper", "-n", "refresh"],
    upgrade: ["zypper", "-n", "update"],
    install: ["zypper", "-n", "install", "--"],
    asks: ["rpm", "-q", "--whatprovides", "--"],
  },
];

async function installerOf({ programs }: Around): Promise<Installer | undefined> {
  for (const installer of installers) if ((await programs.find(installer.program)) !== undefined) return installer;
  return undefined;
}

const noInstaller = (): Problem =>
  new Problem("setup-packages", "Cannot install packages: no package manager is here that flotilla knows", {
    hint: "It knows apt-get, dnf, yum and zypper; leave packages out on this system",
  });

export const packages: Doer<"packages"> = {
  async look({ names, update, upgrade }, around) {
    const installer = await installerOf(around);
    const missing = installer === undefined ? names : await missingOf(names, installer, around);
    const text = [
      ...(update ? ["lists of packages brought up to date\n"] : []),
      ...(upgrade ? ["all packages brought up to date\n"] : []),
      ...missing.map((name) => `package ${name}\n`),
    ].join("");
    return { same: missing.length === 0 && !update && !upgrade, before: undefined, after: text };
  },
  async check({ names, at }, around) {
    const bad = names.filter((name) => !/^[A-Za-z0-9@(][^\s\0]*$/.test(name));
    return [
      ...((await installerOf(around)) === undefined && isLive(around) ? [noInstaller()] : []),
      ...bad.map(
        (name) => new Problem("setup-packages", `Cannot take "${name.slice(0, 64)}" as the name of a package`, { at }),
      ),
    ];
  },
  async apply({ names, update, upgrade }, around, signal) {
    const installer = await installerOf(around);
    if (installer === undefined) throw noInstaller();
    const missing = await missingOf(names, installer, around);
    const run = (argv: readonly string[]): Promise<unknown> =>
      around.programs.must(argv, {
        ...{ signal, timeoutMs: packagesTimeoutMs, graceMs: packagesGraceMs, env: installer.env ?? {} },
      });
    if (installer.mend !== undefined) await run(installer.mend);
    if (update || missing.length > 0) await run(installer.update);
    if (upgrade) await run(installer.upgrade);
    if (missing.length > 0) await run([...installer.install, ...missing]);
    return [];
  },
};

async function missingOf(names: readonly string[], { asks }: Installer, around: Around): Promise<readonly string[]> {
  const [program = ""] = asks;
  if ((await around.programs.find(program)) === undefined) return names;
  const missing: string[] = [];
  for (const name of names) {
    const { status, out } = await around.programs.run([...asks, name], {
      signal: new AbortController().signal, // bounded by its own time
      timeoutMs: askTimeoutMs,
    });
    // dpkg knows of packages that were taken away again
    if (status !== 0 || (program === "dpkg-query" && out.trim() !== "installed")) missing.push(name);
  }
  return missing;
}
