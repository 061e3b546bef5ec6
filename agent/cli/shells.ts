// Completion scripts for bash, zsh and fish, made of the table of commands. Pure: the command `completion` prints them, the
// package installs them. They know commands, options and files; names of units and machines they do not.
import type { Argument, Command } from "./command.ts";
import { type Flag, type Program, flagOf, isPath } from "./shape.ts";

export function completionScript(shell: "bash" | "zsh" | "fish", program: Program): string {
  const table = [...grouped(program), helpLine(program)];
  const shared = program.options.map(flagOf);
  switch (shell) {
    case "bash":
      return bash(table, shared);
    case "zsh":
      return zsh(table, shared);
    case "fish":
      return fish(table, shared);
  }
}

/** A command as shells complete it. */
interface Line {
  readonly name: string;
  readonly summary: string;
  readonly args: readonly Argument[];
  readonly flags: readonly Flag[];
}

function lineOf({ name, summary, args, options }: Command): Line {
  return { name, summary, args, flags: options.map(flagOf) };
}

/** Commands of two words (`discovery serve`), and before them their first word with the second ones to choose from. */
function grouped({ commands, groups }: Program): readonly Line[] {
  const lines = commands.map(lineOf);
  const firsts = [...new Set(lines.map(({ name }) => firstWord(name)))];
  return firsts.flatMap((first) => {
    const below = lines.filter(({ name }) => name.startsWith(`${first} `));
    const own = lines.find(({ name }) => name === first);
    if (below.length === 0) return own ?? [];
    const words = below.map(({ name }) => name.slice(first.length + 1));
    const verb: Argument = { name: "COMMAND", means: "what to do", takes: "one-or-none", words };
    const line = own ?? { name: first, summary: groups[first] ?? "", args: [], flags: [] };
    return [{ ...line, args: [verb, ...line.args] }, ...below];
  });
}

function firstWord(name: string): string {
  return name.split(" ")[0] ?? name;
}

function isSecond({ name }: Line): boolean {
  return name.includes(" ");
}

function helpLine({ commands }: Program): Line {
  const words = [...new Set(commands.map(({ name }) => firstWord(name)))];
  const command: Argument = { name: "COMMAND", means: "a command", takes: "one-or-none", words };
  return { name: "help", summary: "Print the help of a command", args: [command], flags: [] };
}

function spellings({ short, long }: Flag): readonly string[] {
  return short === undefined ? [long] : [short, long];
}

/** In single quotes, for all three shells: they differ in how a quote itself is written. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function bash(lines: readonly Line[], shared: readonly Flag[]): string {
  // one word in the patterns of the script: "discovery+serve"
  const table = lines.map((line) => ({ ...line, name: line.name.replace(" ", "+") }));
  const seconds = lines.flatMap((line, at) => (isSecond(line) ? [table[at]?.name ?? ""] : []));
  const valued = (flags: readonly Flag[], command: string) =>
    flags.flatMap((flag) =>
      flag.value === undefined
        ? []
        : [
            `    ${spellings(flag)
              .map((each) => `${command}:${each}`)
              .join("|")}) echo ${isPath(flag.value) ? "file" : "other"} ;;`,
          ],
    );
  const options = (flags: readonly Flag[]) => flags.flatMap(spellings).join(" ");
  const words = table.flatMap(({ name, args }) =>
    args.flatMap((argument, at) => {
      const place = `${name}:${argument.takes === "any" ? "*" : at}`;
      if (argument.words !== undefined) return [`    ${place}) words=${quoted(argument.words.join(" "))} ;;`];
      return isPath(argument.name) ? [`    ${place}) kind=file ;;`] : [];
    }),
  );
  return `# Completion of flotilla's commands and options in bash; made by "flotilla completion bash".
_flotilla_value() {
  case "$1:$2" in
${[...valued(shared, "*"), ...table.flatMap(({ name, flags }) => valued(flags, name))].join("\n")}
  esac
}

_flotilla_options() {
  case "$1" in
${table.map(({ name, flags }) => `    ${name}) echo ${quoted(options([...flags, ...shared.filter(isForEach)]))} ;;`).join("\n")}
    *) echo ${quoted(options(shared))} ;;
  esac
}

_flotilla() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command= kind= words= count=0 at word
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    if [[ -n $kind ]]; then
      [[ $word == "=" ]] || kind=
    elif [[ $word == -* ]]; then
      kind=$(_flotilla_value "$command" "$word")
    elif [[ -z $command ]]; then
      command=$word
    elif [[ $count == 0 && " ${seconds.join(" ")} " == *" $command+$word "* ]]; then
      command=$command+$word
    else
      count=$((count + 1))
    fi
  done
  if [[ $cur == "=" ]]; then
    cur=
  fi
  if [[ -z $kind && $cur == -* ]]; then
    words=$(_flotilla_options "$command")
  elif [[ -z $kind && -z $command ]]; then
    words=${quoted(
      lines
        .filter((line) => !isSecond(line))
        .map(({ name }) => name)
        .join(" "),
    )}
  elif [[ -z $kind ]]; then
    case "$command:$count" in
${words.join("\n")}
    esac
  fi
  COMPREPLY=()
  if [[ $kind == file ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
  elif [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  fi
}

complete -F _flotilla flotilla
`;
}

/** Options of all commands; the version is the program's alone. */
function isForEach({ long }: Flag): boolean {
  return long !== "--version";
}

function zsh(table: readonly Line[], shared: readonly Flag[]): string {
  const described = ({ name, summary }: Line) => `        ${quoted(`${name.replaceAll(":", "\\:")}:${summary}`)}`;
  const specs = ({ args, flags }: Line) =>
    [...[...flags, ...shared.filter(isForEach)].map(zshFlag), ...args.map(zshArgument)]
      .map((each) => `            ${each}`)
      .join(" \\\n");
  const branch = (line: Line) =>
    `        ${quoted(line.name)})\n          _arguments -s \\\n${specs(line)}\n          ;;`;
  const seconds = table.filter(isSecond).map(({ name }) => quoted(name));
  // the command's second word is taken as part of its name
  const join =
    seconds.length === 0
      ? ""
      : `      case "$words[1] $words[2]" in
        ${seconds.join("|")})
          (( CURRENT > 2 )) && { words=("$words[1] $words[2]" "\${(@)words[3,-1]}"); (( CURRENT-- )) }
          ;;
      esac
`;
  return `#compdef flotilla
# Completion of flotilla's commands and options in zsh; made by "flotilla completion zsh".
_flotilla() {
  local curcontext="$curcontext" state line
  local -a commands
  typeset -A opt_args
  _arguments -C \\
${shared.map((flag) => `    ${zshFlag(flag)} \\`).join("\n")}
    '1: :->command' \\
    '*:: :->rest'
  case $state in
    command)
      commands=(
${table
  .filter((line) => !isSecond(line))
  .map(described)
  .join("\n")}
      )
      _describe -t commands command commands
      ;;
    rest)
${join}      case $words[1] in
${table.map(branch).join("\n")}
      esac
      ;;
  esac
}

# Read by compinit it is the function's body; evaluated, it has to be bound
if [[ $funcstack[1] == _flotilla ]]; then
  _flotilla "$@"
else
  compdef _flotilla flotilla
fi
`;
}

function zshFlag(flag: Flag): string {
  const { short, long, value, means } = flag;
  const after = `[${zshText(means)}]${value === undefined ? "" : `:${zshText(value)}:${isPath(value) ? "_files" : " "}`}`;
  const takes = value === undefined ? "" : "=";
  if (short === undefined) return quoted(`${long}${takes}${after}`);
  return `${quoted(`(${short} ${long})`)}{${short}${value === undefined ? "" : "+"},${long}${takes}}${quoted(after)}`;
}

function zshArgument({ name, means, takes, words }: Argument): string {
  const action = words === undefined ? (isPath(name) ? "_files" : " ") : `(${words.join(" ")})`;
  const place = { one: ":", "one-or-none": "::", any: "*:" }[takes];
  return quoted(`${place}${zshText(means)}:${action}`);
}

/** Within a specification these three mean something. */
function zshText(text: string): string {
  return text.replaceAll(/[\\[\]:]/g, (each) => `\\${each}`);
}

function fish(table: readonly Line[], shared: readonly Flag[]): string {
  const flagLine = (when: string, flag: Flag) => {
    const { short, long, value, means } = flag;
    const letter = short === undefined ? "" : ` -s ${short.slice(1)}`;
    const takes = value === undefined ? "" : isPath(value) ? " -r -F" : " -x";
    return `complete -c flotilla${when}${letter} -l ${long.slice(2)}${takes} -d ${fishQuoted(means)}`;
  };
  const lines = table.flatMap(({ name, summary, args, flags }) => {
    const when = ` -n ${fishQuoted(`__flotilla_command_is ${name}`)}`;
    return [
      ...(name.includes(" ")
        ? []
        : [`complete -c flotilla -n __flotilla_needs_command -a ${name} -d ${fishQuoted(summary)}`]),
      ...flags.map((flag) => flagLine(when, flag)),
      ...args.flatMap((argument) => {
        if (argument.words === undefined) return isPath(argument.name) ? [`complete -c flotilla${when} -F`] : [];
        const words = argument.words.join(" ");
        const still = ` -n ${fishQuoted(`__flotilla_command_is ${name}; and not __flotilla_has ${words}`)}`;
        return [`complete -c flotilla${still} -a ${fishQuoted(words)} -d ${fishQuoted(argument.means)}`];
      }),
    ];
  });
  return `# Completion of flotilla's commands and options in fish; made by "flotilla completion fish".
function __flotilla_words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if test "$word" = --socket
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __flotilla_needs_command
    test -z "$(__flotilla_words | head -n 1)"
end

function __flotilla_command_is
    set -l words (__flotilla_words)
    test (count $words) -ge (count $argv); or return 1
    for at in (seq (count $argv))
        test "$words[$at]" = "$argv[$at]"; or return 1
    end
end

function __flotilla_has
    for word in (__flotilla_words)[2..-1]
        contains -- $word $argv; and return 0
    end
    return 1
end

complete -c flotilla -f
${[...shared.map((flag) => flagLine("", flag)), ...lines].join("\n")}
`;
}

/** In fish's single quotes a backslash escapes the quote and itself. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, (each) => `\\${each}`)}'`;
}
