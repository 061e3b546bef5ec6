import assert from "node:assert/strict";
import { test } from "node:test";
import { type SshSaid, sshFailure } from "../../../../agent/adapters/shell/ssh-failure.ts";
import { explainError } from "../../../../agent/domain/problem.ts";

const changed = `@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Offending ED25519 key in /known:3\r
Host key verification failed.\r
`;

const cases: readonly (readonly [name: string, said: Partial<SshSaid>, code: string | undefined, says?: RegExp])[] = [
  ["nothing: the command's own 255", {}, undefined],
  [
    "a notice is no failure",
    { own: "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\n" },
    undefined,
  ],
  [
    "changed",
    { own: changed },
    "ssh-host-key",
    /by ssh: WARNING: REMOTE HOST [^@]*; Offending ED25519 key in \/known:3; Host/,
  ],
  ["unknown", { own: "Host key verification failed.\n" }, "ssh-host-key"],
  ["no key", { own: "core@h: Permission denied (publickey).\n" }, "ssh-denied"],
  ["timeout", { own: "ssh: connect to host h port 22: Connection timed out\n" }, "ssh-timeout"],
  ["refused", { own: "ssh: connect to host h port 22: Connection refused\n" }, "ssh-refused"],
  ["no such name", { own: "ssh: Could not resolve hostname h: Name or service not known\n" }, "ssh-refused"],
  ["something else", { own: "Bad owner or permissions on /root/.ssh/config\n" }, "ssh-failed"],
  [
    "the tunnel is the reason",
    {
      own: "kex_exchange_identification: Connection closed by remote host\n",
      tunnel: "ssh: connect to host gate port 22: Connection refused\n",
      tunnelHost: "gate",
    },
    "ssh-refused",
    /^Cannot reach tunnel "gate" by ssh/,
  ],
  [
    "what lies behind the tunnel is the reason",
    {
      own: "Connection closed by UNKNOWN port 65535\n",
      tunnel: "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n",
      tunnelHost: "gate",
    },
    "ssh-refused",
    /^Cannot reach machine 1 by ssh/,
  ],
];
for (const [name, said, code, says = /./] of cases)
  test(name, () => {
    const failure = sshFailure({ what: "machine 1", host: "h", own: "", tunnel: "", tunnelHost: undefined, ...said });
    assert.equal(failure?.code, code);
    if (failure !== undefined) assert.match(explainError(failure), says);
  });
