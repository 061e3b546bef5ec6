#!/usr/bin/env node
// flotilla: argv -> one command -> exit code; nothing else. What a command needs comes from wire-tools.ts.
import { runCommand } from "./cli/args.ts";
import { createTools } from "./wire-tools.ts";

// Not process.exit(): what was written is flushed, and whatever keeps the process alive is a mistake to be seen
process.exitCode = await runCommand(process.argv.slice(2), createTools(process));
