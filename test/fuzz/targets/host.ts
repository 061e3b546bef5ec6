// What a machine says of itself: its id, its routes, its environment file, and what providers say of it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHost, defaultInterfaces, isPublishable } from "../../../agent/adapters/host.ts";
import { readVariables } from "../../../agent/adapters/host-addresses.ts";
import { parseJson } from "../../../agent/adapters/sources/facts.ts";
import { lastValue, splitWords } from "../../../agent/adapters/sources/identity.ts";
import { readMetaData } from "../../../agent/adapters/sources/meta-data.ts";
import { readOpenStack } from "../../../agent/adapters/sources/openstack-data.ts";
import { elementText, elements, readXml } from "../../../agent/adapters/sources/xml.ts";
import type { Problem } from "../../../agent/domain/problem.ts";
import type { InstanceMetadata } from "../../../agent/domain/user-data.ts";
import { type Said, type Target, mustHold, problemsOf, textOf } from "../target.ts";

const root = mkdtempSync(join(tmpdir(), "flotilla-fuzz-"));
mkdirSync(join(root, "etc"));

/** By what the first line says; each gives a word for what came of it. */
const readers: Readonly<
  Record<
    string,
    (body: Uint8Array) => string | Promise<string> | readonly Problem[] | Promise<string | readonly Problem[]>
  >
> = {
  "machine-id": async (body) => {
    writeFileSync(join(root, "etc", "machine-id"), body);
    const id = await createHost({ root }).machineId();
    return id.ok ? "taken" : id.problems;
  },
  routes: (body) => {
    const text = textOf(body);
    const names = defaultInterfaces(text, text);
    mustHold(new Set(names).size === names.length, "each interface once");
    return names.length === 0 ? "none" : "some";
  },
  environment: (body) => {
    const variables = readVariables(textOf(body));
    for (const value of Object.values(variables)) isPublishable(value ?? "");
    return Object.keys(variables).length === 0 ? "none" : "some";
  },
  "kernel-command-line": (body) => {
    const words = splitWords(textOf(body));
    return lastValue(words, ["cloud-config-url", "flotilla.user-data"]) === undefined ? "none" : "some";
  },
  "meta-data": (body) => checked(readMetaData(body, "meta-data")),
  openstack: (body) => checked(readOpenStack({ metaData: body, networkData: body, addresses: {}, where: "" })),
  json: (body) => typeof parseJson(body, "it"),
  xml: (body) => {
    const value = readXml(body, "it");
    const found = elements(value).map(elementText);
    return found.some((each) => each !== undefined) ? "text" : "no text";
  },
};

function checked({ instanceId, hostname, sshKeys, addresses }: InstanceMetadata): string {
  for (const each of [instanceId, hostname, ...Object.values(addresses), ...sshKeys] as readonly unknown[])
    mustHold(
      each === undefined || (typeof each === "string" && each.length < 20_000 && !/[\n\0]/.test(each)),
      "plain texts",
    );
  return instanceId === undefined ? "nothing" : "metadata";
}

export const target: Target = {
  name: "host",
  reads: "what a machine and its provider say of it",
  maxBytes: 64 * 1024,
  words: [
    ...Object.keys(readers).map((name) => `${name}\n`),
    ...[
      "0123456789abcdef",
      "uninitialized\n",
      "eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
      "COREOS_PUBLIC_IPV4=",
      "export ",
    ],
    ...[
      "instance-id: i-1\n",
      "public-keys: [ssh-ed25519 AAAA a]\n",
      '"uuid":"u"',
      '"public_keys":{"a":"ssh-rsa AAAA"}',
      "<Environment>",
    ],
    ...[
      "<a b='c'>",
      "</a>",
      "<![CDATA[",
      "]]>",
      "&lt;",
      "&#x41;",
      "<!DOCTYPE a [<!ENTITY b 'c'>]>",
      "<?xml version='1.0'?>",
      "<!--",
      "10.0.0.1",
    ],
  ],
  async run(input): Promise<Said> {
    const end = input.indexOf(0x0a);
    const name = textOf(input.subarray(0, Math.max(0, end)));
    const read = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (read === undefined) return { outcome: "nothing", problems: [] };
    try {
      const said = await read(input.subarray(end + 1));
      return typeof said === "string"
        ? { outcome: `${name} ${said}`, problems: [] }
        : { outcome: `${name} refused`, problems: said };
    } catch (error) {
      return { outcome: `${name} refused`, problems: problemsOf(error) };
    }
  },
  async close() {
    rmSync(root, { recursive: true, force: true });
  },
};
