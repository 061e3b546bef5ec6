// Gives the commands their tools. What a listing needs is loaded at once and is little; agent, playground and verify load
// their parts when they are asked for, so that a command answers before one notices.
import { createApiClient } from "./adapters/api-client.ts";
import { createClock } from "./adapters/clock.ts";
import { createTerminal, endSignal, programVersion } from "./adapters/terminal.ts";
import type { Tools } from "./cli/tools.ts";

export interface ProcessParts {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The tools of this process, without the playground: its wiring knows the commands. */
export function createTools({ stdout, stderr, env }: ProcessParts): Omit<Tools, "runPlayground"> {
  const clock = createClock();
  const version = programVersion();
  return {
    version,
    env,
    clock,
    stdout: createTerminal(stdout),
    stderr: createTerminal(stderr),
    signal: endSignal(),
    apiClient: async (socket) => createApiClient(socket),
    workingCopy: async () => (await import("./adapters/working-copy.ts")).createWorkingCopy(),
    runAgent: async (request, signal) => {
      const [{ readSettings, runAgent }, { createStderrLog }, { createHost }] = await Promise.all([
        import("./wire.ts"),
        import("./adapters/log.ts"),
        import("./adapters/host.ts"),
      ]);
      const { settings, warnings } = await readSettings(request, env);
      const log = createStderrLog(settings);
      for (const warning of warnings) log.warn("settings.warning", { message: warning.message, hint: warning.hint });
      await runAgent({ settings, log, clock, host: createHost(), version, environment: env }, signal);
    },
  };
}
