import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Kept, encodeKept, parseKept } from "../../../agent/bootstrap/kept.ts";

const kept: Kept = {
  machineId: "1".repeat(32),
  found: {
    source: "ec2",
    where: "http://169.254.169.254/",
    metadata: {
      instanceId: "i-1",
      hostname: "m1",
      sshKeys: ["ssh-ed25519 AAAA"],
      addresses: { private_ipv4: "10.0.0.1" },
    },
    userData: new TextEncoder().encode("#cloud-config\n"),
  },
};

const written = JSON.parse(encodeKept(kept)) as { readonly metadata: object };
const ofMetadata = (change: object): object => ({ ...written, metadata: { ...written.metadata, ...change } });

const foreign: readonly { readonly name: string; readonly value: unknown }[] = [
  { name: "no object", value: null },
  { name: "no metadata", value: { ...written, metadata: null } },
  { name: "addresses that are nothing", value: ofMetadata({ addresses: null }) },
  { name: "addresses in a list", value: ofMetadata({ addresses: ["10.0.0.1"] }) },
  { name: "an address that is a number", value: ofMetadata({ addresses: { private_ipv4: 10 } }) },
  { name: "a key that is no text", value: ofMetadata({ sshKeys: [{}] }) },
  { name: "a name that is no text", value: ofMetadata({ hostname: 7 }) },
  { name: "an instance that is no text", value: ofMetadata({ instanceId: {} }) },
  { name: "a source that there is not", value: { ...written, source: "ec3" } },
  { name: "no machine", value: { ...written, machineId: "" } },
  { name: "user-data that is no base64", value: { ...written, userData: "I2Nsb3\0VkLWNvbmZpZwo=" } },
];

describe("what a boot keeps of what it found", () => {
  test("is read back as it was, also where the provider says nothing", () => {
    assert.deepEqual(parseKept(encodeKept(kept)), { ok: true, value: kept });
    const bare = {
      ...kept.found,
      metadata: { instanceId: undefined, hostname: undefined, sshKeys: [], addresses: {} },
    };
    const read = parseKept(encodeKept({ ...kept, found: { ...bare, userData: new Uint8Array() } }));
    assert.ok(read.ok);
    assert.deepEqual(read.value.found.metadata, { sshKeys: [], addresses: {} });
    assert.equal(read.value.found.userData.length, 0);
  });

  for (const { name, value } of foreign)
    test(`is refused by name: ${name}`, () => {
      const read = parseKept(JSON.stringify(value));
      assert.ok(!read.ok);
      assert.deepEqual(
        read.problems.map(({ code }) => code),
        ["boot-kept"],
      );
      assert.doesNotMatch(read.problems[0]?.message ?? "", /cloud-config|I2Nsb3/, "it may be secret");
    });
});
