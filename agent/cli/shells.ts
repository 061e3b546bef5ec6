// Completion scripts for bash, zsh and fish, made of the table of commands. Pure: the command `completion` prints them, the
// package installs them. They know commands, options and files; names of units and machines they ask of the live cluster, by
// `flotilla __complete`, with those options of the line that say where it is.
import type { Argument, Command, Option } from "./command.ts";
import { type Flag, type LiveKind, type Program, flagOf, isPath, liveKind } from "./shape.ts";

export function completionScript(shell: "bash" | "zsh" | "fish", program: Program): string {
  const table = [...grouped(program), helpLine(program)];
  const shared = program.options.map(offeredFlag);
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
  readonly flags: readonly OfferedFlag[];
}

/** What is offered for a word. */
interface Offer {
  readonly words: readonly string[];
  readonly live: LiveKind | undefined;
  readonly file: boolean;
  /** Whether it may be several with commas between. */
  readonly list: boolean;
}

type OfferedFlag = Flag & { readonly offer: Offer };

function lineOf({ name, summary, args, options }: Command): Line {
  return { name, summary, args, flags: options.map(offeredFlag) };
}

function offeredFlag(option: Option): OfferedFlag {
  const flag = flagOf(option);
  const { value = "" } = flag;
  const { words = [], many } = option;
  const list = many === true || (value === "LIST" && words.length > 0);
  return { ...flag, offer: { words, live: liveKind(value), file: isPath(value), list } };
}

function offerOf({ name, words, orFile }: Argument): Offer {
  const live = words === undefined ? liveKind(name) : undefined;
  return { words: words ?? [], live, file: orFile === true || isPath(name), list: false };
}

/** Options that say where the cluster is: they go along when it is asked. */
function reachFlags(shared: readonly OfferedFlag[]): readonly string[] {
  return shared.flatMap(({ long, value }) => (value === undefined ? [] : [long]));
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

function bash(lines: readonly Line[], shared: readonly OfferedFlag[]): string {
  // one word in the patterns of the script: "discovery+serve"
  const table = lines.map((line) => ({ ...line, name: line.name.replace(" ", "+") }));
  const seconds = lines.flatMap((line, at) => (isSecond(line) ? [table[at]?.name ?? ""] : []));
  const valued = (flags: readonly OfferedFlag[], command: string) =>
    flags.flatMap((flag) =>
      flag.value === undefined
        ? []
        : [
            `    ${spellings(flag)
              .map((each) => `${command}:${each}`)
              .join("|")}) echo ${quoted(bashOffer(flag.offer))} ;;`,
          ],
    );
  const options = (flags: readonly Flag[]) => flags.flatMap(spellings).join(" ");
  const places = table.flatMap(({ name, args }) =>
    args.flatMap((argument, at) => {
      const offer = bashOffer(offerOf(argument));
      return offer === "other" ? [] : [`    ${name}:${argument.takes === "any" ? "*" : at}) echo ${quoted(offer)} ;;`];
    }),
  );
  return `# Completion of flotilla's commands and options in bash; made by "flotilla completion bash".
# What is offered for a word: "file", "live KIND", "list-live KIND", "words WORD...", "list-words WORD...", "other".
_flotilla_value() {
  case "$1:$2" in
${[...valued(shared, "*"), ...table.flatMap(({ name, flags }) => valued(flags, name))].join("\n")}
  esac
}

_flotilla_place() {
  case "$1:$2" in
${places.join("\n")}
  esac
}

_flotilla_options() {
  case "$1" in
${table.map(({ name, flags }) => `    ${name}) echo ${quoted(options([...flags, ...shared.filter(isForEach)]))} ;;`).join("\n")}
    *) echo ${quoted(options(shared))} ;;
  esac
}

_flotilla() {
  # bash takes words apart at "@", "=" and ":"; here they are whole again
  local line=$COMP_LINE words=() at gap
  for ((at = 0; at <= COMP_CWORD; at++)); do
    gap=\${line%%[![:space:]]*}
    line=\${line:\${#gap}}
    if [[ \${#words[@]} == 0 || -n $gap ]]; then words+=("\${COMP_WORDS[at]}"); else words[-1]+=\${COMP_WORDS[at]}; fi
    line=\${line:\${#COMP_WORDS[at]}}
  done
  local cur=\${words[-1]} command= offer= count=0 word option reach=()
  unset "words[-1]"
  for word in "\${words[@]:1}"; do
    if [[ -n $offer ]]; then
      case " ${reachFlags(shared).join(" ")} " in *" $option "*) reach+=("$option" "$word") ;; esac
      offer=
    elif [[ $word == --*=* ]]; then
      case " ${reachFlags(shared).join(" ")} " in *" \${word%%=*} "*) reach+=("$word") ;; esac
    elif [[ $word == -* ]]; then
      option=$word
      offer=$(_flotilla_value "$command" "$word")
    elif [[ -z $command ]]; then
      command=$word
    elif [[ $count == 0 && " ${seconds.join(" ")} " == *" $command+$word "* ]]; then
      command=$command+$word
    else
      count=$((count + 1))
    fi
  done
  if [[ -z $offer && $cur == --*=* ]]; then
    offer=$(_flotilla_value "$command" "\${cur%%=*}")
    cur=\${cur#*=}
  elif [[ -z $offer && $cur == -* ]]; then
    offer="words $(_flotilla_options "$command")"
  elif [[ -z $offer && -z $command ]]; then
    offer=${quoted(
      `words ${lines
        .filter((line) => !isSecond(line))
        .map(({ name }) => name)
        .join(" ")}`,
    )}
  elif [[ -z $offer ]]; then
    offer=$(_flotilla_place "$command" "$count")
  fi
  local before= kind=\${offer%% *} rest=\${offer#* } found=() bare=
  # In quotes a backslash is one, also those in names of units; elsewhere two are
  if [[ $cur == [\\"\\']* ]]; then cur=\${cur:1}; elif [[ $kind == *live* ]]; then bare=1 cur=\${cur//\\\\\\\\/\\\\}; fi
  if [[ $kind == list-* && $cur == *,* ]]; then
    before=\${cur%,*},
    cur=\${cur##*,}
  fi
  COMPREPLY=()
  case "$kind" in
    file | live-or-file) compopt -o filenames 2>/dev/null; mapfile -t found < <(compgen -f -- "$cur") ;;
  esac
  case "$kind" in
    live | list-live | live-or-file)
      local program=\${words[0]/#\\~/$HOME} name
      while IFS=$'\\t' read -r name _; do found+=("$name"); done < <("$program" "\${reach[@]}" __complete "$rest" -- "$cur" 2>/dev/null)
      ;;
    words | list-words) mapfile -t found < <(compgen -W "$rest" -- "$cur") ;;
  esac
  # What bash takes for an own word is all that it replaces
  local breaks=\${COMP_WORDBREAKS//[!@=:]/} typed=$before$cur
  [[ -n $breaks && $typed == *[$breaks]* ]] && typed=\${typed%"\${typed##*[$breaks]}"} || typed=
  [[ $kind == live-or-file ]] && bare= # readline escapes what may be the name of a file
  for name in "\${found[@]}"; do
    name=$before$name name=\${name#"$typed"}
    [[ -n $bare ]] && name=\${name//\\\\/\\\\\\\\}
    COMPREPLY+=("$name")
  done
}

complete -F _flotilla flotilla
`;
}

function bashOffer({ words, live, file, list }: Offer): string {
  const several = list ? "list-" : "";
  if (live !== undefined) return file ? `live-or-file ${live}` : `${several}live ${live}`;
  if (words.length > 0) return `${several}words ${words.join(" ")}`;
  return file ? "file" : "other";
}

/** Options of all commands; the version is the program's alone. */
function isForEach({ long }: Flag): boolean {
  return long !== "--version";
}

function zsh(table: readonly Line[], shared: readonly OfferedFlag[]): string {
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
_flotilla_live() {
  local -a lines found
  local each
  lines=("\${(@f)$($flotilla_program $flotilla_reach __complete $1 -- "\${(Q)PREFIX}" 2>/dev/null)}")
  for each in $lines; do
    found+=("\${\${each%%$'\\t'*}//:/\\:}:\${each#*$'\\t'}")
  done
  _describe -t $1 $1 found
}

_flotilla_live_list() {
  compset -P '*,'
  _flotilla_live $1
}

_flotilla_live_or_file() {
  _alternative "live:$1: _flotilla_live $1" 'files:file:_files'
}

_flotilla() {
  local curcontext="$curcontext" state line each
  local flotilla_program=\${words[1]/#\\~/$HOME}
  local -a commands flotilla_reach
  typeset -A opt_args
  _arguments -C \\
${shared.map((flag) => `    ${zshFlag(flag)} \\`).join("\n")}
    '1: :->command' \\
    '*:: :->rest'
  for each in ${reachFlags(shared).join(" ")}; do
    (( $+opt_args[$each] )) && flotilla_reach+=($each "\${(Q)opt_args[$each]}")
  done
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

function zshFlag(flag: OfferedFlag): string {
  const { short, long, value, means, offer } = flag;
  const after = `[${zshText(means)}]${value === undefined ? "" : `:${zshText(value)}:${zshAction(offer)}`}`;
  const takes = value === undefined ? "" : "=";
  if (short === undefined) return quoted(`${long}${takes}${after}`);
  return `${quoted(`(${short} ${long})`)}{${short}${value === undefined ? "" : "+"},${long}${takes}}${quoted(after)}`;
}

function zshArgument(argument: Argument): string {
  const place = { one: ":", "one-or-none": "::", any: "*:" }[argument.takes];
  return quoted(`${place}${zshText(argument.means)}:${zshAction(offerOf(argument))}`);
}

function zshAction({ words, live, file, list }: Offer): string {
  // The space keeps zsh from putting words of its own before ours
  if (live !== undefined) return ` _flotilla_live${file ? "_or_file" : list ? "_list" : ""} ${live}`;
  if (words.length > 0) return list ? `_values -s , word ${words.join(" ")}` : `(${words.join(" ")})`;
  return file ? "_files" : " ";
}

/** Within a specification these three mean something. */
function zshText(text: string): string {
  return text.replaceAll(/[\\[\]:]/g, (each) => `\\${each}`);
}

function fish(table: readonly Line[], shared: readonly OfferedFlag[]): string {
  const flagLine = (when: string, flag: OfferedFlag) => {
    const { short, long, value, means, offer } = flag;
    const letter = short === undefined ? "" : ` -s ${short.slice(1)}`;
    const offered = fishOffer(offer);
    const takes =
      value === undefined ? "" : offer.file ? " -r -F" : ` -x${offered === "" ? "" : ` -a ${fishQuoted(offered)}`}`;
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
        const offer = offerOf(argument);
        const files = offer.file ? [`complete -c flotilla${when} -F`] : [];
        const offered = fishOffer(offer);
        if (offered === "") return files;
        const words = offer.words.join(" ");
        const once = words === "" ? "" : `; and not __flotilla_has ${words}`;
        const still = ` -n ${fishQuoted(`__flotilla_command_is ${name}${once}`)}`;
        const means = words === "" ? "" : ` -d ${fishQuoted(argument.means)}`;
        return [...files, `complete -c flotilla${still} -a ${fishQuoted(offered)}${means}`];
      }),
    ];
  });
  const valued = [...shared, ...table.flatMap(({ flags }) => flags)].filter(({ value }) => value !== undefined);
  return `# Completion of flotilla's commands and options in fish; made by "flotilla completion fish".
function __flotilla_words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word ${[...new Set(valued.flatMap(spellings))].join(" ")}
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __flotilla_live
    set -l words (commandline -opc)
    set -l reach
    for at in (seq 2 (count $words))
        if contains -- (string replace -r '=.*' '' -- $words[$at]) ${reachFlags(shared).join(" ")}
            set -a reach $words[$at]
            string match -q -- '*=*' $words[$at]; or set -a reach $words[(math $at + 1)]
        end
    end
    set -l typed (string replace -r '^--[a-z-]+=' '' -- (commandline -ct))
    set -l typed (string replace -r '.*,' '' -- $typed)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    command $program $reach __complete $argv[1] -- "$typed" 2>/dev/null
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

/** What -a of complete(1) takes; "" for nothing. */
function fishOffer({ words, live, list }: Offer): string {
  const command = live === undefined ? `printf %s\\n ${words.join(" ")}` : `__flotilla_live ${live}`;
  if (live === undefined && words.length === 0) return "";
  if (list) return `(__fish_complete_list , "${command}")`;
  return live === undefined ? words.join(" ") : `(${command})`;
}

/** In fish's single quotes a backslash escapes the quote and itself. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, (each) => `\\${each}`)}'`;
}
