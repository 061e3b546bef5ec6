// Gives the commands their tools. What a listing needs is loaded at once and is little; agent, playground and verify load
// their parts when they are asked for, so that a command answers before one notices.
import { createApiClient } from "./adapters/api-client.ts";
import { createClock } from "./adapters/clock.ts";
import { isPacked } from "./adapters/packed.ts";
import { hasSocket } from "./adapters/socket-path.ts";
import { createTerminal, endSignal, programVersion } from "./adapters/terminal.ts";
import { runCommand } from "./cli/args.ts";
import type { AgentRequest, PlaygroundRequest, Tools } from "./cli/tools.ts";
import { Problem } from "./domain/problem.ts";

/** What main knows of its process. */
export interface ProcessParts {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly execPath: string;
  readonly execArgv: readonly string[];
  readonly argv: readonly string[];
  /** As the caller wrote it: a path, or a name found in PATH. */
  readonly argv0: string;
}

/** Beside the source and beside what is built from it alike. */
const exampleUnits = decodeURIComponent(new URL("../units/example", import.meta.url).pathname);
/** Starting and stopping a private machine takes seconds; this is for one that is stuck. */
const orderTimeoutMs = 60_000;

export function createTools(own: ProcessParts): Tools {
  const tools: Tools = {
    version: programVersion(),
    env: own.env,
    clock: createClock(),
    stdout: createTerminal(own.stdout),
    stderr: createTerminal(own.stderr),
    signal: endSignal(),
    apiClient: async (reach) => createApiClient(reach, own.env),
    hasSocket,
    machineShell: async (reach) => (await import("./adapters/shell/shell.ts")).createMachineShell(reach, own.env),
    forward: async (socket, signal) => (await import("./adapters/shell/forward.ts")).forwardPipes(socket, signal),
    workingCopy: async () => (await import("./adapters/working-copy.ts")).createWorkingCopy(),
    planSources: async () =>
      (await import("./adapters/plan-sources.ts")).createPlanSources({ directory: ".", environment: own.env }),
    localUnits: async () => (await import("./adapters/local-units.ts")).createLocalUnits(),
    discovery: async () => (await import("./wire-discovery.ts")).createDiscoveryTools(tools),
    firstBoot: async () =>
      (await import("./wire-bootstrap.ts")).createFirstBoot({ ...tools, flotilla: installedAs(own) }),
    runAgent: async (request, signal) => runAgent(tools, request, signal),
    runPlayground: async (request, signal) => runPlayground({ tools, own }, request, signal),
  };
  return tools;
}

async function runAgent({ env, clock, version }: Tools, request: AgentRequest, signal: AbortSignal): Promise<void> {
  const [wire, { createStderrLog }, { createHost }, { takeInheritedSockets }] = await Promise.all([
    import("./wire.ts"),
    import("./adapters/log.ts"),
    import("./adapters/host.ts"),
    import("./adapters/inherited-sockets.ts"),
  ]);
  const { settings, warnings, fetchSecrets } = await wire.readSettings(request, env, { secretsMayCome: true });
  const log = createStderrLog(settings);
  for (const { message, hint } of warnings) log.warn("settings.warning", { message, hint });
  const inherited = await takeInheritedSockets();
  const host = createHost();
  await wire.runAgent({ settings, fetchSecrets, log, clock, host, version, environment: env, inherited }, signal);
}

interface Around {
  readonly tools: Tools;
  readonly own: ProcessParts;
}

async function runPlayground({ tools, own }: Around, request: PlaygroundRequest, signal: AbortSignal): Promise<number> {
  const { env, clock, version } = tools;
  const directory = playgroundDirectory(env);
  if (request.kind !== "run") {
    await order(`${directory}/control.sock`, request, signal);
    await tools.stderr.write(`${request.machine} is ${request.kind === "kill" ? "off" : "on"}\n`);
    return 0;
  }
  const [{ playground }, { createPlaygroundWorld }, { createFileLog }, { createHost }] = await Promise.all([
    import("./playground/playground.ts"),
    import("./wire-playground.ts"),
    import("./adapters/log-file.ts"),
    import("./adapters/host.ts"),
  ]);
  const { run, typed } = ownCommand(own);
  const world = createPlaygroundWorld({
    directory,
    example: exampleUnits,
    flotilla: run,
    clock,
    log: (machine) => createFileLog(`${directory}/${machine}.log`),
    host: createHost(),
    version,
    environment: env,
  });
  const stage = {
    world,
    clock,
    stderr: tools.stderr,
    connect: (socket: string) => tools.apiClient(socket),
    show: (args: readonly string[]) => runCommand(args, tools),
    command: typed,
  };
  return playground(stage, request, signal);
}

/** Where units find it: a run from source is a try-out of what is installed. */
function installedAs({ execPath }: ProcessParts): string {
  return isPacked() ? execPath : "/usr/bin/flotilla";
}

/** How this flotilla is started once more, and what a reader types to call it in a shell. */
function ownCommand({ execPath, execArgv, argv, argv0 }: ProcessParts): {
  readonly run: readonly [string, ...string[]];
  readonly typed: string;
} {
  if (!isPacked()) {
    const [, script = ""] = argv;
    return { run: [execPath, ...execArgv, script], typed: `node ${shellWord(script)}` };
  }
  // Called without a path it was found in PATH, where the reader's shell finds it too
  return { run: [execPath], typed: argv0.includes("/") ? shellWord(execPath) : `command ${shellWord(argv0)}` };
}

function shellWord(text: string): string {
  return /^[A-Za-z0-9/._@+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function order(
  socket: string,
  { kind, machine }: Exclude<PlaygroundRequest, { readonly kind: "run" }>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await createApiClient(socket).post(`/v2/machines/${encodeURIComponent(machine)}/${kind}`, {
      signal,
      timeoutMs: orderTimeoutMs,
    });
  } catch (error) {
    if (!(error instanceof Problem && error.code === "agent-unreachable")) throw error;
    throw new Problem("playground-none", `Cannot ${kind} ${machine}: no playground is running`, {
      hint: "flotilla playground brings one up; use another terminal, as the same user",
      cause: error,
    });
  }
}

/** Short, because sockets stand below it; gone at reboot, whatever happens. */
function playgroundDirectory(env: Tools["env"]): string {
  return `${env["XDG_RUNTIME_DIR"] ?? "/run"}/flotilla-playground`;
}
