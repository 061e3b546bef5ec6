// The variables by which a command is told how to reach a cluster. They may be set for a whole login, so that an agent that is
// started from it passes them over where it would refuse other names with its prefix.

/** Behind `FLOTILLA_`, and as fleet had them behind `FLEETCTL_`; the same as the options, in their order. */
export const clientVariables: readonly string[] = [
  "ENDPOINT",
  "CA_FILE",
  "CERT_FILE",
  "KEY_FILE",
  "TOKEN_FILE",
  "TUNNEL",
  "SSH_USERNAME",
  "SSH_PORT",
  "SSH_TIMEOUT",
  "STRICT_HOST_KEY_CHECKING",
  "KNOWN_HOSTS_FILE",
];

/** The token itself; never an option, as everybody on the machine can read a command line. */
export const tokenVariable = "TOKEN";
