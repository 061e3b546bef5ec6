import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Looked, Step } from "../../../agent/domain/first-boot.ts";
import { describeProblem, toRecord } from "../../../agent/domain/problem.ts";
import type { Plan } from "../../../agent/firstboot/firstboot.ts";
import { planDiff } from "../../../agent/firstboot/show.ts";
import { type Circumstances, plan } from "./machine.ts";

const folder = join(import.meta.dirname, "..", "..", "golden", "plans");
const rewrite = process.env["UPDATE_GOLDEN"] === "1";

const machines: Readonly<Record<string, Circumstances>> = {
  "three-machines": { hostname: "web-1.eu.example", sshKeys: ["ssh-ed25519 CCCC provider"] },
  historic: {
    facts: {
      systems: ["flatcar", "coreos"],
      defaultUser: "core",
      units: new Set(["etcd-member.service", "docker.service", "flanneld.service", "locksmithd.service"]),
      paths: new Set(["/usr/share/flatcar/update.conf"]),
    },
  },
  "kitchen-sink": {},
};

/** As on a machine that has none of it. */
function looked(step: Step): Looked {
  const utf8 = new TextDecoder();
  const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("");
  const after = {
    file: () => (step.kind === "file" ? utf8.decode(step.file.content) : ""),
    block: () => (step.kind === "block" ? lines(step.lines) : ""),
    variables: () =>
      step.kind === "variables" ? lines(Object.entries(step.values).map((pair) => pair.join("="))) : "",
    "authorized-keys": () => (step.kind === "authorized-keys" ? lines(step.keys) : ""),
  };
  const text = Object.entries(after).find(([kind]) => kind === step.kind)?.[1]();
  return { same: false, before: undefined, after: text };
}

function shown({ steps, notices, watch }: Plan): string {
  return [
    ...steps.map((step) => planDiff([{ step, looked: looked(step) }])),
    "\n",
    ...notices.map(({ severity, problem }) => `${severity}: ${describeProblem(toRecord(problem))}\n`),
    `watched: ${watch.join(" ")}\n`,
  ].join("");
}

const documents = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
assert.deepEqual(documents.map((name) => name.replace(".yaml", "")).sort(), Object.keys(machines).sort());

for (const name of documents)
  test(`the plan of ${name}`, async () => {
    const document = readFileSync(join(folder, name), "utf8");
    const found = shown(await plan(document, machines[name.replace(".yaml", "")]));
    assert.ok(!found.includes("to-be-seen"));
    const path = join(folder, name.replace(".yaml", ".txt"));
    if (rewrite) writeFileSync(path, found);
    assert.equal(found, readFileSync(path, "utf8"));
    assert.equal(shown(await plan(document, machines[name.replace(".yaml", "")])), found, "the same again");
  });
