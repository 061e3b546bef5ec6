import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { runCalledAs } from "../../../agent/cli/called-as.ts";
import { fleetEnvironment, readFleetWords } from "../../../agent/cli/fleet-words.ts";
import { runFleetctl } from "../../../agent/cli/fleetctl.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import type { ApiClient } from "../../../agent/ports/api-client.ts";
import type { Reach } from "../../../agent/ports/reach.ts";
import { fakeTools } from "../../fakes/fake-tools.ts";

suite("fleet's command lines in our words", () => {
  const cases: readonly (readonly [line: string, argv: string, notes?: readonly RegExp[]])[] = [
    ["list-units", "list-units"],
    ["list-units --l --no-legend", "list-units --full --no-legend"],
    ["list-units --full=true", "list-units --full"],
    ["list-units --full=T --no-legend=FALSE", "list-units --full"],
    ["list-units --full=maybe", "list-units --full=maybe"],
    ["list-units --fields=unit,hash", "list-units --fields=unit,hash"],
    ["journal --f --lines 5 a", "journal --follow --lines 5 a"],
    ["ssh --A a -- ls --l --debug", "ssh --forward-agent a -- ls --l --debug"],
    ["--h", "--help"],
    ["start --no-block=false --block-attempts -1 a", "start --block-attempts -1 a"],
    ["--driver API list-units", "list-units"],
    ["--driver=api list-units", "list-units"],
    ["--driver=etcd list-units", "list-units", [/^WARNING: --driver is passed over/]],
    ["--driver etcd --endpoint http://e:2379 list-units", "list-units", [/--driver/, /--endpoint is passed over/]],
    ["--endpoint=http://e:2379 list-units --driver=etcd", "list-units", [/--driver/, /--endpoint/]],
    ["--endpoint http://a:1 list-units", "--endpoint http://a:1 list-units"],
    ["--debug list-units", "list-units", [/--debug/]],
    ["--debug=false list-units", "list-units", [/--debug/]],
    ["--etcd-key-prefix /x --request-timeout 1.0 list-units", "list-units", [/key-prefix/, /request-timeout/]],
    ["--etcd-cafile=a --etcd-certfile=b --etcd-keyfile=c x", "x", [/cafile/, /certfile/, /keyfile/]],
    ["submit --sign a.service", "submit a.service", [/--sign/]],
    ["list-units --request-timeout", "list-units", [/request-timeout/]],
  ];
  for (const [line, argv, notes = []] of cases)
    test(line, () => {
      const words = readFleetWords(line.split(" "), {});
      assert.equal(words.argv.join(" "), argv);
      assert.equal(words.notes.length, notes.length, words.notes.join("\n"));
      for (const [at, note] of notes.entries()) assert.match(words.notes[at] ?? "", note);
    });

  test("the environment says a driver, too, and the command line wins", () => {
    assert.equal(readFleetWords([], { FLEETCTL_DRIVER: "etcd" }).meantEtcd, true);
    assert.equal(readFleetWords(["--driver=API"], { FLEETCTL_DRIVER: "etcd" }).meantEtcd, false);
    assert.equal(readFleetWords([], { FLEETCTL_DRIVER: "" }).meantEtcd, false);
    assert.throws(() => readFleetWords([], { FLEETCTL_DRIVER: "pigeon" }), /unrecognized driver "pigeon"/);
  });
});

suite("fleet's defaults", () => {
  const usual = {
    FLEETCTL_SSH_USERNAME: "core",
    FLEETCTL_STRICT_HOST_KEY_CHECKING: "true",
    FLEETCTL_KNOWN_HOSTS_FILE: "~/.fleetctl/known_hosts",
    NO_COLOR: "1",
  };
  const fleetSocket = { FLEETCTL_ENDPOINT: "unix:///var/run/fleet.sock" };
  const elsewhere = { FLEETCTL_ENDPOINT: "http://e:1" };
  const cases = [
    { name: "nothing said", env: {}, has: false, etcd: false, expect: usual },
    { name: "fleet's socket is there", env: {}, has: true, etcd: false, expect: { ...usual, ...fleetSocket } },
    { name: "another endpoint", env: elsewhere, has: true, etcd: false, expect: { ...usual, ...elsewhere } },
    { name: "empty is not said", env: { FLEETCTL_SSH_USERNAME: "" }, has: false, etcd: false, expect: usual },
    { name: "the driver etcd", env: elsewhere, has: true, etcd: true, expect: { ...usual, ...fleetSocket } },
    {
      name: "another user",
      env: { FLEETCTL_SSH_USERNAME: "ann", HOME: "/x" },
      has: false,
      etcd: false,
      expect: { ...usual, FLEETCTL_SSH_USERNAME: "ann", HOME: "/x" },
    },
  ];
  for (const { name, env, has, etcd, expect } of cases)
    test(name, () => assert.deepEqual(fleetEnvironment(env, { hasFleetSocket: has, meantEtcd: etcd }), expect));

  const reached = async (words: readonly string[], env: Record<string, string>, hasFleetSocket = false) => {
    let asked: Reach | undefined;
    const tools = fakeTools({
      env,
      hasSocket: async (path) => hasFleetSocket && path === "/var/run/fleet.sock",
      apiClient: async (reach): Promise<ApiClient> => {
        asked = typeof reach === "string" ? undefined : reach;
        throw new Problem("agent-unreachable", "Cannot reach it");
      },
    });
    assert.equal(await runFleetctl(words, tools), 1);
    return asked;
  };

  test("the socket that is asked", async () => {
    const path = async (...args: Parameters<typeof reached>) => (await reached(...args))?.endpoint;
    assert.deepEqual(await path(["list-units"], {}), { kind: "unix", path: "/run/flotilla/flotilla.sock" });
    assert.deepEqual(await path(["list-units"], {}, true), { kind: "unix", path: "/var/run/fleet.sock" });
    assert.deepEqual(await path(["--endpoint=unix:///x", "list-units"], {}, true), { kind: "unix", path: "/x" });
    assert.deepEqual(await path(["list-units"], { FLEETCTL_ENDPOINT: "http://h:1,http://i:2" }, true), {
      kind: "http",
      origin: "http://h:1",
    });
  });

  test("ssh as fleet had it", async () => {
    const ssh = (await reached(["cat", "a"], {}))?.ssh;
    assert.equal(ssh?.username, "core");
    assert.equal(ssh.checkHostKeys, true);
    assert.equal(ssh.knownHostsFile, "~/.fleetctl/known_hosts");
    assert.equal(ssh.timeoutMs, 10_000);
    assert.equal((await reached(["--ssh-username", "ann", "cat", "a"], {}))?.ssh.username, "ann");
  });
});

suite("the name decides", () => {
  const cases: readonly (readonly [names: readonly (string | undefined)[], is: string])[] = [
    [["/usr/bin/node", "/usr/bin/flotilla"], "flotilla"],
    [["/usr/bin/node", "/usr/local/bin/fleetctl"], "fleetctl"],
    [["fleetctl", undefined], "fleetctl"],
    [["./fleetctl"], "fleetctl"],
    [["/opt/fleetctl/flotilla"], "flotilla"],
    [["fleetctl.sh"], "flotilla"],
    [[undefined], "flotilla"],
  ];
  for (const [names, is] of cases)
    test(names.join(" "), async () => {
      const tools = fakeTools();
      assert.equal(await runCalledAs(names, { argv: ["version"], tools }), 0);
      assert.equal(tools.stdout.text, `${is} version 1.2.3\n`);
    });
});
