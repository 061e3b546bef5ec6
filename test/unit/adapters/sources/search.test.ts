import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { suite, test, type TestContext } from "node:test";
import { createUserDataSources } from "../../../../agent/adapters/sources/sources.ts";
import { Problem } from "../../../../agent/domain/problem.ts";
import {
  sourceNames,
  type SourceName,
  type SourceRequest,
  type Standing,
} from "../../../../agent/ports/user-data-sources.ts";
import { MemoryLog } from "../../../fakes/memory-log.ts";
import { firmware, quickClock, rootWith, serve, treeOf } from "../../../fakes/metadata-service.ts";

const droplet = JSON.stringify({ droplet_id: 1, user_data: "#cloud-config\npassword: hush\n" });
const digitalOcean = firmware({ sys_vendor: "DigitalOcean" });
const fine = treeOf({ "/metadata/v1.json": droplet, "/a": "#cloud-config\n# named\n" });

async function world(
  t: TestContext,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
  files: Readonly<Record<string, string>>,
) {
  const service = await serve(t, handler);
  const log = new MemoryLog();
  const sources = createUserDataSources({
    clock: quickClock,
    log,
    root: rootWith(t, files),
    connect: { "169.254.169.254:80": service.place, "10.0.0.2:80": service.place },
    run: () => Promise.resolve(undefined),
  });
  const stop = new AbortController();
  const standings: Standing[] = [];
  return {
    service,
    log,
    stop,
    standings,
    search: (request: Partial<SourceRequest> = {}) =>
      sources.search(
        { timeoutMs: 10_000, ...request },
        { signal: stop.signal, progress: (each) => standings.push(each) },
      ),
  };
}

suite("the search for user-data", () => {
  test("ends at once when no source can be of this machine, and says of each why", async (t) => {
    const { search, service } = await world(t, fine, {});
    const { found, probes } = await search({ timeoutMs: 300_000 });
    assert.equal(found, undefined);
    assert.deepEqual(
      probes.map(({ source, outcome, why }) => `${source}: ${outcome}: ${why}`),
      [
        "kernel-command-line: absent: no cloud-config-url= on the kernel command line",
        "nocloud: absent: no volume labelled cidata, and nothing in /var/lib/cloud/seed/nocloud",
        "config-drive: absent: no volume labelled config-2",
        "cloud-init: absent: cloud-init does not run on this machine",
        "vmware: absent: this machine does not say that it is of VMware",
        "azure: absent: this machine does not say that it is of Azure",
        "ec2: absent: this machine does not say that it is of Amazon EC2",
        "gce: absent: this machine does not say that it is of Google Compute Engine",
        "digitalocean: absent: this machine does not say that it is of DigitalOcean",
        "hetzner: absent: this machine does not say that it is of Hetzner",
        "openstack: absent: this machine does not say that it is of OpenStack",
      ],
    );
    assert.deepEqual(service.asked, []);
    assert.ok(probes.every(({ tries }) => tries === 1));
  });

  test("asks what it is told to, in the order of the names", async (t) => {
    const { search } = await world(t, fine, {});
    const { probes } = await search({ only: ["gce", "nocloud", "ec2", "gce"] });
    assert.deepEqual(
      probes.map(({ source }) => source),
      ["nocloud", "ec2", "gce"],
    );
    assert.ok(sourceNames.indexOf("nocloud") < sourceNames.indexOf("ec2"));
  });

  test("the first in order wins, however late it answers", async (t) => {
    const files = { ...digitalOcean, "proc/cmdline": "cloud-config-url=http://10.0.0.2/a" };
    let mayAnswer: () => void = () => undefined;
    const isLate = new Promise<void>((resolve) => (mayAnswer = resolve));
    const { search, standings } = await world(
      t,
      (request, response) => {
        if (request.url !== "/a") fine(request, response);
        else isLate.then(() => fine(request, response)).catch((error: unknown) => response.destroy(error as Error));
      },
      files,
    );
    const searching = search();
    while (!standings.some(({ source, outcome }) => source === "digitalocean" && outcome === "found"))
      await quickClock.sleep(20);
    mayAnswer();
    const { found, probes } = await searching;
    assert.equal(found?.source, "kernel-command-line");
    const loser = probes.find(({ source }) => source === "digitalocean");
    assert.equal(loser?.outcome, "found");
    assert.match(loser.why, /^\d+ bytes at .*, but kernel-command-line comes first$/);
  });

  test("one that is given up at the limit leaves it to the next", async (t) => {
    const files = { ...digitalOcean, "proc/cmdline": "cloud-config-url=http://10.0.0.2/a" };
    const { search, service, standings } = await world(
      t,
      (request, response) => {
        if (request.url === "/a") response.writeHead(500).end();
        else fine(request, response);
      },
      files,
    );
    const { found, probes } = await search({ timeoutMs: 3_000 });
    assert.equal(found?.source, "digitalocean");
    assert.deepEqual(
      [probes[0]?.outcome, probes[0]?.why],
      ["given-up", "Cannot read http://10.0.0.2/a: it answered 500, in 3 s"],
    );
    assert.ok((probes[0]?.tries ?? 0) > 2);
    assert.ok(service.asked.length > 2);
    assert.deepEqual(
      standings.filter(({ outcome }) => outcome === "waiting").map(({ source, why }) => `${source}: ${why}`),
      ["kernel-command-line: Cannot read http://10.0.0.2/a: it answered 500"],
    );
  });

  test("one that is broken leaves it to the next at once", async (t) => {
    const files = { ...digitalOcean, "proc/cmdline": "cloud-config-url=http://10.0.0.2/none" };
    const { search } = await world(t, fine, files);
    const { found, probes } = await search({ timeoutMs: 300_000 });
    assert.equal(found?.source, "digitalocean");
    assert.equal(probes[0]?.outcome, "failed");
  });

  test("what comes after the winner is not waited for", async (t) => {
    const files = { ...digitalOcean, "proc/cmdline": "cloud-config-url=http://10.0.0.2/a" };
    const { search, service } = await world(
      t,
      (request, response) => {
        if (request.url === "/a") fine(request, response);
        // and nothing at all to the others
      },
      files,
    );
    const { found, probes } = await search({ timeoutMs: 300_000 });
    assert.equal(found?.source, "kernel-command-line");
    const left = probes.find(({ source }) => source === "digitalocean");
    assert.deepEqual([left?.outcome, left?.why], ["given-up", "kernel-command-line was found first (no answer yet)"]);
    for (let tries = 0; (await service.connections()) > 0; tries++) {
      assert.ok(tries < 200, "a connection is left");
      await quickClock.sleep(100);
    }
  });

  test("a network that comes up later", async (t) => {
    let tries = 0;
    const { search } = await world(
      t,
      (request, response) => {
        tries += 1;
        if (tries < 18) response.destroy();
        else fine(request, response);
      },
      digitalOcean,
    );
    const { found, probes } = await search({ timeoutMs: 300_000 });
    assert.equal(found?.source, "digitalocean");
    // fifteen in the first round and three in the second, which is one more asking
    assert.equal(probes.find(({ source }) => source === "digitalocean")?.tries, 18);
  });

  test("an abort ends it with a problem of that name and leaves nothing", async (t) => {
    const { search, service, stop } = await world(t, () => undefined, digitalOcean);
    const searching = search({ timeoutMs: 300_000 });
    while (service.asked.length === 0) await quickClock.sleep(20);
    stop.abort(new Error("enough"));
    await assert.rejects(searching, (error) => error instanceof Problem && error.code === "aborted");
    for (let tries = 0; (await service.connections()) > 0; tries++) {
      assert.ok(tries < 200, "a connection is left");
      await quickClock.sleep(100);
    }
  });

  test("an abort beforehand", async (t) => {
    const { search, service, stop } = await world(t, fine, digitalOcean);
    stop.abort();
    await assert.rejects(search(), (error) => error instanceof Problem && error.code === "aborted");
    assert.deepEqual(service.asked, []);
  });

  test("the log names the source and nothing that was in it", async (t) => {
    const { search, log } = await world(t, fine, digitalOcean);
    await search();
    assert.deepEqual(log.events("info"), ["user-data.found"]);
    assert.ok(!JSON.stringify(log.lines).includes("hush"));
  });

  // whatever the firmware says, at most the one source that it names is asked over HTTP
  const vendors: readonly (readonly [Readonly<Record<string, string>>, SourceName])[] = [
    [{ sys_vendor: "Amazon EC2" }, "ec2"],
    [{ product_name: "Google Compute Engine" }, "gce"],
    [{ product_serial: "GoogleCloud-1234" }, "gce"],
    [{ sys_vendor: "DigitalOcean" }, "digitalocean"],
    [{ sys_vendor: "Hetzner" }, "hetzner"],
    [{ product_name: "OpenStack Nova" }, "openstack"],
    [{ chassis_asset_tag: "7783-7084-3265-9085-8269-3286-77" }, "azure"],
    [{ sys_vendor: "VMware, Inc." }, "vmware"],
  ];
  for (const [facts, name] of vendors)
    test(`${JSON.stringify(facts)} is ${name} alone`, async (t) => {
      const { search } = await world(t, (_request, response) => void response.writeHead(403).end(), firmware(facts));
      const { probes } = await search();
      const unsaid = probes.filter(({ why }) => !/this machine|kernel command line|volume|cloud-init/.test(why));
      assert.deepEqual(
        unsaid.map(({ source }) => source),
        [name],
      );
    });
});
