// A git server that is asked for its branch, over http or behind an ssh, and addresses of repositories. The first line says
// which; behind it stand the server's answers, what the ssh said (out, complaints, exit code), or an address in parts.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseLocation } from "../../../agent/adapters/git/location.ts";
import { askForBranch } from "../../../agent/adapters/git/refs.ts";
import { openTransport, pickEnvironment } from "../../../agent/adapters/git/transport.ts";
import { type Problem, explainError } from "../../../agent/domain/problem.ts";
import { answersIn, startRawServer } from "../raw-server.ts";
import { type Said, type Target, mustHold, problemsOf, reasons, textOf } from "../target.ts";

const secret = "xyzzy5ecret";
const server = await startRawServer();
const own = `http://127.0.0.1:${server.port}`;
const folder = mkdtempSync(join(tmpdir(), "flotilla-fuzz-"));
writeFileSync(
  join(folder, "ssh"),
  `#!/bin/sh\ncd ${folder} && cat out && cat err >&2 && read code <code; exit "$code"\n`,
);
chmodSync(join(folder, "ssh"), 0o755);
/** Whoever a redirect leads to: it is this server that answers, as the proxy. */
const proxies = { http_proxy: own, https_proxy: own, all_proxy: "", no_proxy: "" };
const environment = pickEnvironment({ ...proxies, PATH: `${folder}:/usr/bin:/bin` });
const never = new AbortController().signal;

async function poll(url: string): Promise<string> {
  const location = parseLocation(url);
  mustHold(location.ok, "an address");
  const none = { caFile: undefined, sshKeyFile: undefined, knownHostsFile: undefined };
  const access = { location: location.value, username: "me", password: secret, ...none, environment };
  const transport = await openTransport(access, 2);
  try {
    const id = await askForBranch(transport, { branch: "main", shown: location.value.shown, signal: never });
    mustHold(/^[0-9a-f]{40}$/.test(id), `an id, not ${id}`);
    return "branch";
  } finally {
    await transport.close();
  }
}

/** In each of these the secret stands where a password or a query does; `parts` is what is around it. */
const addresses: readonly ((parts: readonly string[]) => string)[] = [
  ([scheme = "", user = "", rest = ""]) => `${scheme}://${user}:${secret}@${rest}`,
  ([, user = "", rest = ""]) => `${user}:${secret}@${rest}`,
  ([scheme = "", , rest = ""]) => `${scheme}://${rest}?access_token=${secret}`,
];

function readAddresses(body: Uint8Array): readonly Problem[] {
  const parts = textOf(body).split("\n");
  const problems: Problem[] = [];
  // With these what follows is no login any more
  const isLogin = !/[/\\?#]/.test(`${parts[0] ?? ""}${parts[1] ?? ""}`);
  for (const make of isLogin ? addresses : []) {
    const url = make(parts);
    const location = parseLocation(url);
    if (!location.ok) problems.push(...reasons(location.problems));
    // In a path of this machine there is no password
    else if (location.value.kind !== "local")
      mustHold(!location.value.shown.includes(secret), `nothing secret is shown: ${location.value.shown}`);
  }
  const plain = parseLocation(parts.join(""));
  return plain.ok ? problems : [...problems, ...reasons(plain.problems)];
}

/** By what the first line says. */
const readers: Readonly<Record<string, (body: Uint8Array) => Promise<string | readonly Problem[]>>> = {
  http: () => poll(`${own}/units.git`),
  ssh: () => {
    const [out = "", err = "", code = ""] = server.answers;
    for (const [name, bytes] of Object.entries({ out, err, code })) writeFileSync(join(folder, name), bytes);
    return poll("ssh://git@host/units.git");
  },
  address: (body) => Promise.resolve(readAddresses(body)),
};

export const target: Target = {
  name: "git-poll",
  reads: "branches of git servers, and addresses",
  maxBytes: 64 * 1024,
  words: [
    ...Object.keys(readers).map((name) => `${name}\n`),
    ...[
      "=== \n",
      "HTTP/1.1 200 OK\r\n",
      "HTTP/1.1 401 No\r\n",
      "HTTP/1.1 302 Found\r\n",
      "HTTP/1.1 503 Busy\r\n",
      "\r\n\r\n",
    ],
    ...[
      "Location: /other.git/info/refs?service=git-upload-pack\r\n",
      "Location: https://h/info/refs\r\n",
      "Location: ftp://x\r\n",
    ],
    ...[
      "Content-Type: application/x-git-upload-pack-advertisement\r\n",
      "Content-Type: application/x-git-upload-pack-result\r\n",
    ],
    ...[
      "001e# service=git-upload-pack\n",
      "0000",
      "0001",
      "000eversion 2\n",
      "0003",
      "ffff",
      `003d${"a".repeat(40)} refs/heads/main\n`,
    ],
    ...[
      "object-format=sha256",
      "0008ERR ",
      "\0",
      "Permission denied (publickey).\n",
      "Connection refused\n",
      "not found\n",
      "255\n",
    ],
    ...[
      "ssh",
      "https",
      "file",
      "http",
      "git@",
      "host:units.git",
      "//",
      "@",
      ":",
      "?",
      "#",
      "%40",
      "[::1]",
      "localhost:22/x.git",
      "~me/x",
    ],
  ],
  async run(input): Promise<Said> {
    const { whom, answers } = answersIn(input);
    const read = Object.hasOwn(readers, whom) ? readers[whom] : undefined;
    if (read === undefined) return { outcome: "nothing", problems: [] };
    server.answers = answers;
    let said: string | readonly Problem[];
    try {
      said = await read(input.subarray(whom.length + 1));
    } catch (error) {
      said = problemsOf(error);
    }
    if (typeof said === "string") return { outcome: `${whom} ${said}`, problems: [] };
    if (said.length === 0) return { outcome: `${whom} taken`, problems: [] };
    for (const problem of said) {
      const shown = `${explainError(problem)} ${problem.hint ?? ""}`;
      mustHold(!shown.includes(secret), `nothing secret in a refusal: ${shown.slice(0, 300)}`);
      mustHold(!/\p{Cc}/u.test(shown), `plain words: ${JSON.stringify(shown.slice(0, 300))}`);
    }
    return { outcome: `${whom} refused`, problems: said };
  },
  async close() {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  },
};
