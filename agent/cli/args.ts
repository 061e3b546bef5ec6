// From words on a command line to one command, and from there to an exit code. The one importer of commander; the
// commands themselves know no parser. Nothing here touches the process.
import { CommanderError, Command as Parser } from "commander";
import { Problem } from "../domain/problem.ts";
import { socketReach } from "../ports/reach.ts";
import { suggest } from "../text/suggest.ts";
import { bootstrapStatus } from "./bootstrap-status.ts";
import { bootstrap } from "./bootstrap.ts";
import { cat } from "./cat.ts";
import { usageProblem } from "./checked.ts";
import type { Command, Given, Option } from "./command.ts";
import { complete } from "./complete.ts";
import { completionCommand } from "./completion.ts";
import { cordon } from "./cordon.ts";
import { destroy } from "./destroy.ts";
import { discoveryJoin } from "./discovery-join.ts";
import { discoveryNew } from "./discovery-new.ts";
import { discoveryServe } from "./discovery-serve.ts";
import { drain } from "./drain.ts";
import { events } from "./events.ts";
import { exitCodes, exitMeanings } from "./exit-codes.ts";
import { explain } from "./explain.ts";
import { fdForward } from "./fd-forward.ts";
import { hold } from "./hold.ts";
import { journal } from "./journal.ts";
import { listHolds } from "./list-holds.ts";
import { listMachines } from "./list-machines.ts";
import { listUnitFiles } from "./list-unit-files.ts";
import { listUnits } from "./list-units.ts";
import { load } from "./load.ts";
import { plan } from "./plan.ts";
import { playground } from "./playground.ts";
import { speakingOn, writeFailure } from "./print.ts";
import { reachOptions, readReach, usualSocket } from "./reach.ts";
import { restart } from "./restart.ts";
import { resume } from "./resume.ts";
import { type Program, argumentText, flagOf } from "./shape.ts";
import { ssh } from "./ssh.ts";
import { start } from "./start.ts";
import { state } from "./state.ts";
import { status } from "./status.ts";
import { stop } from "./stop.ts";
import { submit } from "./submit.ts";
import { sync } from "./sync.ts";
import type { Tools } from "./tools.ts";
import { uncordon } from "./uncordon.ts";
import { unload } from "./unload.ts";
import { verify } from "./verify.ts";
import { version } from "./version.ts";

const programSummary = "Runs services on a group of Linux machines with nothing but systemd, etcd and git";
const versionOption: Option = { flags: "--version", means: "Print the version" };
const helpOption: Option = { flags: "-h, --help", means: "Print this help" };
const helpWidth = 100;
const leastHelpWidth = 40;

/** The name that the program is called by, and what goes with it. */
export interface Calling {
  readonly name: string;
  readonly summary: string;
  /** Of all commands. */
  readonly options: readonly Option[];
  readonly commands: readonly Command[];
  /** Whether arguments that no command takes are passed over. */
  readonly takesExcess: boolean;
  readonly helpEnd: string;
}

/** Runs what `argv` (without program and script) asks for. Resolves with the exit code (exit-codes.ts); never rejects. */
export async function runCommand(argv: readonly string[], tools: Tools): Promise<number> {
  let usageExit: number = exitCodes.usage;
  try {
    const commands = commandsWith(await agentCommandFor(argv));
    usageExit = commandOf(argv, commands)?.usageExit ?? usageExit;
    const usual = { name: "flotilla", summary: programSummary, takesExcess: false, helpEnd: generalHelp };
    return await runCalled({ calling: { ...usual, options: reachOptions, commands }, tools }, argv);
  } catch (error) {
    return writeFailure(tools, error, { usageExit });
  }
}

/** The command that the line is meant for, whatever else is wrong with the line. */
function commandOf(argv: readonly string[], commands: readonly Command[]): Command | undefined {
  const words = helpLast(spellOut(argv));
  const word = words[commandIn(words)] ?? "";
  const meant = commands.filter(({ name }) => name.startsWith(word));
  return commands.find(({ name }) => name === word) ?? (meant.length === 1 ? meant[0] : undefined);
}

/** The same for a program with commands of its own. Rejects with what ended the command. */
export async function runCalled(
  { calling, tools }: { readonly calling: Calling; readonly tools: Tools },
  argv: readonly string[],
): Promise<number> {
  const { commands } = calling;
  let said = "";
  let chosen: { readonly command: Command; readonly given: Given } | undefined;
  const parser = buildParser({
    calling,
    tools,
    say: (text) => (said += text),
    choose: (command, given) => (chosen = { command, given }),
  });
  const words = setApart(completeCommand(helpLast(spellOut(argv)), calling), { commands });
  try {
    parser.parse([...words], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageError(error, calling.name);
  }
  if (chosen !== undefined) {
    const { command, given } = chosen;
    return command.run(command.speaksOn === true ? speakingOn(tools) : tools, given);
  }
  await tools.stdout.write(said);
  return exitCodes.ok;
}

/** Everything that can be typed, for what is made of it: the manual, the completions of shells. */
export async function describeProgram(version: string): Promise<Program> {
  const commands = commandsWith(await fullAgentCommand()).filter(({ hidden }) => hidden !== true);
  const options = [...reachOptions, versionOption, helpOption];
  return { summary: programSummary, version, options, commands, groups: groupSummaries };
}

/** In the order of the help. */
function commandsWith(agent: Command): readonly Command[] {
  const completion = completionCommand(describeProgram);
  return [
    ...[listMachines, listUnits, listUnitFiles, status, explain, journal, ssh, cat],
    ...[submit, load, start, stop, restart, unload, destroy],
    ...[hold, resume, listHolds],
    ...[cordon, uncordon, drain],
    ...[events, sync, verify, plan, state, agent],
    ...[bootstrap, bootstrapStatus],
    ...[discoveryServe, discoveryNew, discoveryJoin],
    ...[playground, completion, version, fdForward, complete],
  ];
}

/** The table of settings is loaded only for the command that has a flag for each. */
async function agentCommandFor(argv: readonly string[]): Promise<Command> {
  if (argv.some((word) => "agent".startsWith(word) && word !== "")) return fullAgentCommand();
  const { agentCommand } = await import("./agent.ts");
  return agentCommand([]);
}

async function fullAgentCommand(): Promise<Command> {
  const [{ agentCommand }, { settingFlags }] = await Promise.all([
    import("./agent.ts"),
    import("../settings/settings.ts"),
  ]);
  return agentCommand(settingFlags());
}

/** Of the options of all commands, those that the help of each of them has; all are in the general help. */
const everywhereShown: ReadonlySet<string> = new Set(["--socket", "--endpoint", "--tunnel", "--version"]);

interface Choosing {
  readonly calling: Calling;
  readonly tools: Tools;
  readonly say: (text: string) => void;
  readonly choose: (command: Command, given: Given) => void;
}

function buildParser(choosing: Choosing): Parser {
  const { tools, say, calling } = choosing;
  const width = Math.max(leastHelpWidth, tools.stdout.size()?.columns ?? helpWidth);
  const parser: Parser = new Parser(calling.name)
    .description(calling.summary)
    .version(`${calling.name} version ${tools.version}`, versionOption.flags, versionOption.means)
    .helpOption(helpOption.flags, helpOption.means)
    .helpCommand("help [command]", "Print the help of a command")
    .addHelpText("after", calling.helpEnd)
    .configureHelp({
      showGlobalOptions: true,
      helpWidth: width,
      visibleGlobalOptions: (shown) => {
        if (shown === parser) return []; // there they are the options themselves
        const shownAll = calling.commands.some(({ name, bySsh }) => name === shown.name() && bySsh === true);
        return parser.options.filter(({ long }) => shownAll || everywhereShown.has(long ?? ""));
      },
    })
    .configureOutput({ writeOut: say, writeErr: () => undefined, outputError: () => undefined })
    .exitOverride();
  for (const { flags, means } of calling.options) parser.option(valued(flags), means);
  for (const command of calling.commands) addCommand(parser, command, choosing);
  return parser;
}

/** Commands of two words stand below their first one; a first word that is no command of its own only leads to them. */
function addCommand(parser: Parser, command: Command, choosing: Choosing): void {
  const { tools, choose, calling } = choosing;
  const [word = "", verb] = command.name.split(" ");
  const group = verb === undefined ? parser : (found(parser, word) ?? addGroup(parser, word, choosing));
  const own = group
    .command(verb ?? word, { hidden: command.hidden === true })
    .summary(command.summary)
    .description(`${command.summary}.`)
    .helpCommand(false)
    .allowExcessArguments(calling.takesExcess);
  for (const argument of command.args) own.argument(argumentText(argument), argument.means);
  for (const option of command.options) addOption(own, option);
  own.addHelpText("after", moreHelp(command, calling.name)).action(() => {
    const { flags, meant } = reachFlags(parser, own);
    const options = { ...meant, ...given(own), ...(group === parser ? {} : forSecond(own, given(group))) };
    choose(command, {
      args: own.args,
      options,
      get reach() {
        return readReach({ flags, env: tools.env });
      },
      socketFlag: flags["socket"],
    });
  });
}

function addOption(own: Parser, { flags, means, many }: Option): void {
  if (many !== true) own.option(valued(flags), means);
  else
    own.option(valued(flags), means, (value: string, before?: string) =>
      before === undefined ? value : `${before},${value}`,
    );
}

/** The options that stood on the line, by long form without dashes. */
function given(own: Parser): Readonly<Record<string, string | true>> {
  const options: Record<string, string | true> = {};
  for (const option of own.options) {
    const value: unknown = own.getOptionValue(option.attributeName());
    if (typeof value === "string") options[name(option.long)] = value;
    // A negated flag is stored under the name of what it turns off
    if (value === !option.negate) options[name(option.long)] = true;
  }
  return options;
}

/**
 * The options of all commands that stood on the line, by long form without dashes; `meant`: those that the command has for
 * itself, which the parser gives to all commands.
 */
function reachFlags(parser: Parser, own: Parser): { readonly flags: TextOptions; readonly meant: TextOptions } {
  const ofItself = new Set(own.options.map(({ long }) => name(long)));
  const all = Object.entries(given(parser)).flatMap(([flag, value]) =>
    typeof value === "string" ? [[flag, value] as const] : [],
  );
  return {
    flags: Object.fromEntries(all.filter(([flag]) => !ofItself.has(flag))),
    meant: Object.fromEntries(all.filter(([flag]) => ofItself.has(flag))),
  };
}

type TextOptions = Readonly<Record<string, string>>;

/** The parser gives options that two words of one command share to the first one: they are meant for the second. */
function forSecond(
  own: Parser,
  taken: Readonly<Record<string, string | true>>,
): Readonly<Record<string, string | true>> {
  const known = new Set(own.options.map(({ long }) => name(long)));
  const odd = Object.keys(taken).find((each) => !known.has(each));
  if (odd === undefined) return taken;
  throw usageProblem(
    `Cannot use --${odd} with ${own.parent?.name() ?? ""} ${own.name()}`,
    "It is for the first word alone",
  );
}

function found(parser: Parser, word: string): Parser | undefined {
  return parser.commands.find((each) => each.name() === word);
}

/** What the commands below one word are for. */
const groupSummaries: Readonly<Record<string, string>> = {
  discovery: "Bring the machines of a new etcd together",
};

function addGroup(parser: Parser, word: string, { choose }: Choosing): Parser {
  const group = parser.command(word).helpCommand(false);
  const summary = groupSummaries[word] ?? "";
  group.summary(summary).description(`${summary}.`).usage("COMMAND [options]");
  group.argument("[COMMAND]", "what to do").action((given: string | undefined) => {
    const verbs = group.commands.map((each) => each.name());
    const what = given === undefined ? `what "${word}" is to do` : `"${word} ${given}"`;
    const near = given === undefined ? undefined : suggest(given, verbs);
    const hint = near === undefined ? `It is one of: ${verbs.join(", ")}` : `Did you mean ${word} ${near}?`;
    const nothing = { name: word, summary, args: [], options: [], examples: [] };
    const refuse = async (): Promise<number> => Promise.reject(usageProblem(`Cannot tell ${what}`, hint));
    const reach = socketReach(usualSocket);
    choose({ ...nothing, run: refuse }, { args: [], options: {}, reach, socketFlag: undefined });
  });
  return group;
}

/** As the parser wants it: `--fields <LIST>`. */
function valued(flags: string): string {
  return flags.replace(/ ([A-Z].*)$/, " <$1>");
}

function moreHelp({ more, examples }: Command, program: string): string {
  const width = Math.max(...examples.map(([words]) => words.length));
  const lines = examples.map(([words, does]) => `  ${program} ${words.padEnd(width)}  ${does}`);
  return `${more === undefined ? "" : `\n${more}\n`}\nExamples:\n${lines.join("\n")}\n`;
}

const generalHelp = `
Exit codes:
${Object.entries(exitCodes)
  .map(([name, code]) => `  ${String(code).padEnd(4)} ${exitMeanings[name as keyof typeof exitCodes]}`)
  .join("\n")}

A command may be shortened as long as it is clear which one is meant: list-m.
`;

const booleanFlag = "--strict-host-key-checking";

/** fleet took this one alone for true, and never the word behind it. */
function spellOut(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf("--");
  return argv.map((word, index) =>
    word !== booleanFlag || (end >= 0 && index > end) || /^(true|false|yes|no|on|off)$/i.test(argv[index + 1] ?? "")
      ? word
      : `${booleanFlag}=true`,
  );
}

/** Words behind which a value stands and no command. */
const valuedReachFlags: ReadonlySet<string> = new Set(reachOptions.map(({ flags }) => flags.split(" ")[0] ?? flags));

/** `help COMMAND` as `COMMAND --help`. */
function helpLast(argv: readonly string[]): readonly string[] {
  const at = commandIn(argv);
  return argv[at] === "help" ? [...argv.toSpliced(at, 1), "--help"] : argv;
}

/**
 * `argv` with an abbreviated command written out, when exactly one begins so, as fleet did it. Throws a usage problem for one
 * that no command begins with, with the command that was most likely meant.
 */
function completeCommand(argv: readonly string[], calling: Calling): readonly string[] {
  const { name, commands } = calling;
  const at = commandIn(argv);
  const word = argv[at];
  if (word === undefined) return askHelp(argv, calling);
  if (commands.some((each) => firstWord(each.name) === word)) return argv;
  const shown = commands.filter(({ hidden }) => hidden !== true).map((each) => firstWord(each.name));
  const names = [...new Set(shown), "help"];
  const meant = word === "" ? [] : names.filter((each) => each.startsWith(word));
  const [only] = meant;
  // Behind an option that there is not it may be meant as its value: the parser names the option
  if (only === undefined && argv[at - 1]?.startsWith("-") === true) return argv;
  if (only === undefined) {
    const near = suggest(word, names);
    throw usageProblem(
      `Cannot read the command line: unknown command '${word.slice(0, 64)}'`,
      near === undefined ? `${name} --help shows all commands` : `Did you mean ${near}?`,
    );
  }
  if (meant.length > 1) {
    throw new Problem("usage", `Cannot tell which command "${word}" is`, { hint: `Is it ${meant.join(" or ")}?` });
  }
  return only === "help" ? helpLast(argv.with(at, only)) : argv.with(at, only);
}

/**
 * Without a command the help is what is asked for, and is no mistake. Throws a usage problem for an option that there is not,
 * which the parser would pass over.
 */
function askHelp(argv: readonly string[], { name, options }: Calling): readonly string[] {
  const all = [...options, versionOption, helpOption].map(flagOf);
  const known = new Set(["--", ...all.flatMap(({ short = "", long }) => [short, long])]);
  const odd = argv.find(
    (word, at) => !valuedReachFlags.has(argv[at - 1] ?? "") && !known.has(word.split("=")[0] ?? ""),
  );
  // In front, so that the parser takes it for no option's value
  if (odd === undefined) return ["--help", ...argv];
  const near = suggest(odd.split("=")[0] ?? odd, [...known]);
  throw usageProblem(
    `Cannot read the command line: unknown option '${odd.slice(0, 64)}'`,
    near === undefined ? `${name} --help, or ${name} COMMAND --help` : `Did you mean ${near}?`,
  );
}

/** Where the command stands; -1 when there is none. */
function commandIn(argv: readonly string[], valued = valuedReachFlags): number {
  return argv.findIndex((word, index) => !word.startsWith("-") && !valued.has(argv[index - 1] ?? ""));
}

/**
 * `argv` with "--" before the words that are another program's, so that the parser takes none of their options for ours. Where
 * there is one already it stays: it ends our options, wherever it stands. `valued`: options with a value that stand beside
 * those of all commands.
 */
export function setApart(
  argv: readonly string[],
  { commands, valued: others = [] }: { readonly commands: readonly Command[]; readonly valued?: readonly string[] },
): readonly string[] {
  const everywhere = new Set([...valuedReachFlags, ...others]);
  const start = commandIn(argv, everywhere);
  const command = commands.find(({ name }) => name === argv[start]);
  if (command?.ownWords === undefined) return argv;
  const own = command.options.map(flagOf).filter(({ value }) => value !== undefined);
  const valued = new Set([...everywhere, ...own.flatMap(({ short = "", long }) => [short, long])]);
  const operands: number[] = [];
  for (let at = start + 1; at < argv.length && argv[at] !== "--"; at++) {
    const word = argv[at] ?? "";
    if (valued.has(word)) at += 1;
    else if (!word.startsWith("-")) operands.push(at);
    const first = operands[command.ownWords(argv.slice(start + 1, at + 1))];
    if (first !== undefined) return argv.toSpliced(first, 0, "--");
  }
  return argv;
}

/** The parser's message in the words of the house. */
function usageError(error: CommanderError, program: string): Problem {
  const [first = "", suggestion] = error.message.split("\n");
  const near = suggestion === undefined ? undefined : /^\(Did you mean (.*)\?\)$/.exec(suggestion)?.[1];
  const text = first.replace(/^error: /, "");
  return new Problem("usage", `Cannot read the command line: ${text.replace(/\.$/, "")}`, {
    hint: near === undefined ? `${program} --help, or ${program} COMMAND --help` : `Did you mean ${near}?`,
  });
}

function firstWord(name: string): string {
  return name.split(" ")[0] ?? name;
}

function name(long: string | undefined): string {
  return (long ?? "").replace(/^--/, "");
}
