// The exit codes of every flotilla command, in one table: for scripts, and for `flotilla help`.

export const exitCodes = {
  ok: 0,
  /** What was asked could not be done, or problems were found. */
  failure: 1,
  /** The command line itself is wrong: unknown command, option or argument. */
  usage: 2,
  /** No agent answers on the socket. */
  unreachable: 3,
  /** Ended by a signal before it was done (128 + SIGINT). */
  interrupted: 130,
  /** A machine could not be reached by ssh; what ran on one ends with its own code. */
  ssh: 255,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** In the same order, for help and manual. */
export const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: "done",
  failure: "it could not be done, or problems were found",
  usage: "the command line is wrong",
  unreachable: "no agent answers on the socket",
  interrupted: "ended by a signal before it was done",
  ssh: "a machine could not be reached by ssh; a command on one ends with its own code",
};
