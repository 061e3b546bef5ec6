#!/usr/bin/env node
// flotilla: argv -> one command -> exit code; nothing else. What a command needs comes from wire-tools.ts. The name by which it
// is called says which commands there are.
import { runCalledAs } from "./cli/called-as.ts";
import { exitCodes } from "./cli/exit-codes.ts";
import { createTools } from "./wire-tools.ts";

// A process that runs dry before its command has ended has failed
const ranDry = (): void => void (process.exitCode = exitCodes.failure);
process.once("beforeExit", ranDry);
// Not process.exit(): what was written is flushed, and whatever keeps the process alive is a mistake to be seen. Not
// top-level await: the single executable is CommonJS, which has none.
runCalledAs([process.argv0, process.argv[1]], { argv: process.argv.slice(2), tools: createTools(process) }).then(
  (code) => {
    process.off("beforeExit", ranDry);
    process.exitCode = code;
  },
  (error: unknown) => {
    throw error; // runCommand never rejects; should it, the process ends with the error's own text
  },
);
