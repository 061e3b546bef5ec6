// flotilla(1), made of the table of commands. Pure; the release build writes it into the package. The language is man(7).
import { clientVariables, tokenVariable } from "../domain/client-variables.ts";
import type { Command } from "./command.ts";
import { exitCodes, exitMeanings } from "./exit-codes.ts";
import { type Flag, type Program, argumentText, flagOf } from "./shape.ts";

/** Text of the page, for man(1). The same table gives the same page: it carries no date. */
export function manualPage({ summary, version, options, commands }: Program): string {
  return [
    '.\\" Made from the table of commands; it is written anew with each build.',
    `.TH FLOTILLA 1 "" "flotilla ${roff(version)}" "User Commands"`,
    ".SH NAME",
    `flotilla \\- ${roff(`${summary.charAt(0).toLowerCase()}${summary.slice(1)}`)}`,
    ".SH SYNOPSIS",
    ".B flotilla",
    "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]",
    ".SH DESCRIPTION",
    ...description.flatMap((paragraph) => [".PP", roff(paragraph)]),
    ".SH OPTIONS",
    ...options.flatMap((option) => flagLines(flagOf(option))),
    ".SH COMMANDS",
    "A command may be shortened as long as it is clear which one is meant.",
    ...commands.flatMap(commandLines),
    ".SS help [COMMAND]",
    "Print the help of a command.",
    ".SH EXIT STATUS",
    ...Object.entries(exitCodes).flatMap(([name, code]) => [
      ".TP",
      String(code),
      roff(`${exitMeanings[name as keyof typeof exitCodes]}.`),
    ]),
    ".SH ENVIRONMENT",
    ...named([
      ["FLOTILLA_SOCKET", "The agent's socket, for every command."],
      [
        clientVariables.map((name) => `FLOTILLA_${name}`).join(", "),
        "As the options of all commands that have these names, which win; fleet's FLEETCTL_* of the same names come last.",
      ],
      [`FLOTILLA_${tokenVariable}`, "The token that opens the API, where no file with it is named."],
      ["FLOTILLA_*", 'Settings of the agent: each flag of "flotilla agent" in capitals, with underscores.'],
      ["NO_COLOR", "When it is not empty, nothing is coloured."],
    ]),
    ".SH CALLED AS FLEETCTL",
    ".PP",
    roff(asFleetctl),
    ".SH FILES",
    ...named(files),
    ".SH SEE ALSO",
    ".BR systemd (1),",
    ".BR systemd.unit (5),",
    ".BR git (1),",
    ".BR etcd (1)",
    "",
  ].join("\n");
}

const description: readonly string[] = [
  "Units in a git repository are placed on the machines of a cluster, which share an etcd. One machine leads: it pulls the " +
    "repository and decides which machine runs which unit. Each machine gives its share to its own systemd. To deploy is " +
    "to commit; to scale out is to add a symlink to a template.",
  "The commands that look at the cluster ask the agent of the same machine, through its socket. What they find goes to " +
    "standard output, everything else to standard error.",
];

const asFleetctl =
  "By a link of the name fleetctl, such as /usr/lib/flotilla/bin/fleetctl, the program has the commands, options, defaults and " +
  "texts of CoreOS fleet's client, so that scripts for it go on working. What means nothing here is passed over with a warning.";

const files: readonly (readonly [string, string])[] = [
  ["/etc/flotilla/flotilla.conf", "Settings of the agent."],
  ["/var/lib/flotilla/", "Repository, last manifest, the embedded registry; outlives a reboot."],
  ["/run/flotilla/", "Unit files that were placed, and the agent's socket."],
  ["/usr/lib/flotilla/bin/fleetctl", "The program under its other name; put the folder into PATH where it is wanted."],
  ["/usr/share/doc/flotilla/", "The rules of placement, settings, user-data, the API and more, as Markdown."],
  ["/usr/share/flotilla/", "JSON Schemas, example units and example user-data."],
];

function commandLines({ name, summary, args, options, more, examples }: Command): readonly string[] {
  const synopsis = [name, ...args.map(argumentText)].join(" ");
  return [
    `.SS ${roff(synopsis)}`,
    roff(`${summary}.`),
    ...args.flatMap((argument) => [".TP", `\\fI${roff(argument.name)}\\fR`, roff(argument.means)]),
    ...options.flatMap((option) => flagLines(flagOf(option))),
    ...(more === undefined ? [] : [".PP", roff(more)]),
    ".PP",
    examples.length === 1 ? "Example:" : "Examples:",
    ...examples.flatMap(([words, does]) => [".TP", `\\fBflotilla ${roff(words)}\\fR`, roff(does)]),
  ];
}

function flagLines({ short, long, value, means }: Flag): readonly string[] {
  const spelled = [short, long].flatMap((each) => (each === undefined ? [] : [`\\fB${roff(each)}\\fR`])).join(", ");
  return [".TP", `${spelled}${value === undefined ? "" : ` \\fI${roff(value)}\\fR`}`, roff(means)];
}

function named(entries: readonly (readonly [string, string])[]): readonly string[] {
  return entries.flatMap(([name, means]) => [".TP", `\\fB${roff(name)}\\fR`, roff(means)]);
}

/** Text as text: no request at the start of a line, no escape, a dash that can be copied. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/^(?=[.'])/gm, "\\&")
    .replaceAll(
      /[^\0-\x7f]/gu,
      (each) => `\\[u${each.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0") ?? ""}]`,
    );
}
