// User-data as clouds hand it over: cloud-config, scripts, MIME, gzip, archives. No secret of it may stand in a finding.
import { readUserData } from "../../../agent/userdata/userdata.ts";
import { type Said, type Target, mustHold } from "../target.ts";

const secret = "xyzzy5ecret";
/** Secrets of the document's own, before whatever the input says: nothing that comes after can move them. */
const withSecrets = `#cloud-config
flotilla:
  git:
    password: ${secret}-git
users:
  - name: ann
    passwd: ${secret}-user
`;
const maxFindings = 1_000;

const addresses = {
  values: { private_ipv4: "10.0.0.7", public_ipv4: "192.0.2.7" },
  looked: { private_ipv4: ["m"], public_ipv4: ["m"], private_ipv6: ["m"], public_ipv6: ["m"] },
};

async function read(bytes: Uint8Array, known: boolean): Promise<Said> {
  const { userData, findings } = await readUserData(bytes, { file: "user-data", ...(known ? { addresses } : {}) });
  const isRefused = findings.some(({ severity }) => severity === "error");
  mustHold((userData === undefined) === isRefused, "refused exactly when there is an error");
  mustHold(findings.length <= maxFindings, `few findings, not ${findings.length}`);
  return {
    outcome: userData === undefined ? "refused" : userData.kind,
    problems: findings.map(({ problem }) => problem),
  };
}

export const target: Target = {
  name: "user-data",
  reads: "user-data",
  maxBytes: 192 * 1024,
  readings: 3,
  words: [
    ...[
      "#cloud-config\n",
      "#!/bin/sh\n",
      "#cloud-config-archive\n",
      "## template: jinja\n",
      "#include http://x\n",
      "#cloud-boothook\n",
    ],
    ...[
      "coreos:\n",
      "  units:\n",
      "    - name: a.service\n",
      "      command: start\n",
      "      content: |\n",
      "      drop-ins:\n",
    ],
    ...[
      "users:\n",
      "  - name: a\n",
      "ssh_authorized_keys:\n",
      "write_files:\n",
      "  - path: /a\n",
      "    content: !!binary aGk=\n",
    ],
    ...[
      "    encoding: gzip+base64\n",
      "hostname: a\n",
      "flotilla:\n",
      "  git: {url: 'https://a/b'}\n",
      "metadata: a=b\n",
      "runcmd:\n",
    ],
    ...[
      "  etcd2:\n    discovery: https://a/b\n",
      "    permissions: '0644'\n",
      "$private_ipv4",
      "${public_ipv6}",
      "{{ds.x}}",
      "&a ",
      "*a",
      "<<: *a\n",
    ],
    ...[
      "---\n",
      "...\n",
      "? ",
      "!!map ",
      "|\n",
      ">-\n",
      "- - ",
      "{a: ",
      "[a, ",
      "'",
      '"',
      "#",
      ": ",
      "\t",
      "Content-Type: multipart/mixed; boundary=b\n\n",
    ],
    ...[
      "--b\n",
      "--b--\n",
      "MIME-Version: 1.0\n",
      "Content-Transfer-Encoding: base64\n",
      'Content-Disposition: attachment; filename="a"\n',
    ],
    ...["Content-Type: text/cloud-config\n", "boundary=", '{"ignition":{"version":"2"}}'],
  ],
  async run(input) {
    const [first, second] = [await read(input, true), await read(input, false)];
    mustHold(first.outcome === second.outcome || first.problems.length > 0, "addresses refuse nothing without a word");
    const text = Buffer.from(input)
      .toString("utf8")
      .replace(/^#cloud-config\n/, "");
    const withOwn = await read(new TextEncoder().encode(`${withSecrets}${text}`), true);
    for (const { message, hint, cause } of withOwn.problems)
      mustHold(!`${message} ${hint ?? ""} ${String(cause)}`.includes(secret), `no secret in: ${message}`);
    return { outcome: first.outcome, problems: [...first.problems, ...withOwn.problems] };
  },
};
