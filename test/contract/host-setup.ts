// What every adapter of ports/host-setup.ts must do: looking changes nothing and tells how a step stands, carrying it out
// makes it so, and once more it is so already. Run against the fake and against files below a scratch root.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { FileWish, Step } from "../../agent/domain/first-boot.ts";
import type { HostSetup } from "../../agent/ports/host-setup.ts";
import { sha256 } from "../../agent/text/digest.ts";

export interface SetupHarness {
  readonly setup: HostSetup;
  put(path: string, text: string): Promise<void>;
  putFolder(path: string): Promise<void>;
  /** Undefined: nothing there. A link is `-> TARGET`. */
  read(path: string): Promise<string | undefined>;
  /** Permission bits of a file. */
  mode(path: string): Promise<number>;
  close(): Promise<void>;
}

type Rest<T> = T extends unknown ? Omit<T, "id" | "stage" | "frequency" | "at"> : never;

export function step(rest: Rest<Step>, id = "a step"): Step {
  return { id, stage: "files", frequency: "converge", at: { file: "user-data", line: 3 }, ...rest };
}

export function wish(path: string, text: string, more: Partial<FileWish> = {}): FileWish {
  const content = new TextEncoder().encode(text);
  return { path, content, mode: 0o644, owner: "root", group: "root", append: false, isSecret: false, ...more };
}

const never = new AbortController().signal;
const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk0 one@example";
const otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKk1 two@example";

export function hostSetupContract(name: string, open: () => Promise<SetupHarness>): void {
  describe(`host setup: ${name}`, () => {
    let machine: SetupHarness;
    beforeEach(async () => {
      machine = await open();
    });
    afterEach(() => machine.close());

    const cases: readonly {
      readonly name: string;
      readonly given?: Readonly<Record<string, string>>;
      readonly step: Step;
      readonly expect: Readonly<Record<string, string | undefined>>;
    }[] = [
      {
        name: "a file, with the folders to it",
        step: step({ kind: "file", file: wish("/opt/a/b/motd", "hello\n") }),
        expect: { "/opt/a/b/motd": "hello\n" },
      },
      {
        name: "a file in the place of another",
        given: { "/etc/motd": "old\n" },
        step: step({ kind: "file", file: wish("/etc/motd", "new\n", { mode: 0o640 }) }),
        expect: { "/etc/motd": "new\n" },
      },
      {
        name: "a text at a file's end",
        given: { "/etc/motd": "old\n" },
        step: step({ kind: "file", file: wish("/etc/motd", "new\n", { append: true }) }),
        expect: { "/etc/motd": "old\nnew\n" },
      },
      {
        name: "lines between marks, others stay",
        given: { "/etc/hosts": "127.0.0.1 localhost\n" },
        step: step({ kind: "block", path: "/etc/hosts", name: "b", lines: ["127.0.1.1 web"] }),
        expect: {
          "/etc/hosts":
            "127.0.0.1 localhost\n# begin b (written by flotilla, do not edit)\n127.0.1.1 web\n# end b (written by flotilla, do not edit)\n",
        },
      },
      {
        name: "lines between marks are taken away",
        given: {
          "/etc/hosts":
            "1 a\n# begin b (written by flotilla, do not edit)\n2 b\n# end b (written by flotilla, do not edit)\n3 c\n",
        },
        step: step({ kind: "block", path: "/etc/hosts", name: "b", lines: [] }),
        expect: { "/etc/hosts": "1 a\n3 c\n" },
      },
      {
        name: "variables in their places",
        given: { "/etc/update.conf": "# mine\nGROUP=old\nOTHER=1\n" },
        step: step({
          kind: "variables",
          path: "/etc/update.conf",
          base: undefined,
          values: { NEW: "2", GROUP: "stable" },
        }),
        expect: { "/etc/update.conf": "# mine\nGROUP=stable\nOTHER=1\nNEW=2\n" },
      },
      {
        name: "variables from a base",
        given: { "/usr/share/update.conf": "GROUP=old\nSERVER=x\n" },
        step: step({
          kind: "variables",
          path: "/etc/update.conf",
          base: "/usr/share/update.conf",
          values: { GROUP: "stable" },
        }),
        expect: { "/etc/update.conf": "GROUP=stable\nSERVER=x\n", "/usr/share/update.conf": "GROUP=old\nSERVER=x\n" },
      },
      {
        name: "a link, and the file that stood there",
        given: { "/etc/systemd/system/a.service": "[Service]\n" },
        step: step({ kind: "link", path: "/etc/systemd/system/a.service", target: "/dev/null" }),
        expect: {
          "/etc/systemd/system/a.service": "-> /dev/null",
          "/etc/systemd/system/a.service.before-flotilla": "[Service]\n",
        },
      },
      {
        name: "what is to go goes",
        given: { "/etc/motd": "old\n" },
        step: step({ kind: "remove", path: "/etc/motd" }),
        expect: { "/etc/motd": undefined },
      },
      {
        name: "what masks a unit goes",
        given: { "/run/systemd/system/a.service": "" },
        step: step({ kind: "unmask", path: "/run/systemd/system/a.service" }),
        expect: { "/run/systemd/system/a.service": undefined },
      },
      {
        name: "a hostname",
        step: step({ kind: "hostname", hostname: "web-1" }),
        expect: {},
      },
      {
        name: "keys between marks, others stay",
        given: { "/root/.ssh/authorized_keys": `${otherKey}\n` },
        step: step({ kind: "authorized-keys", user: "root", set: "flotilla", keys: [key] }),
        expect: {
          "/root/.ssh/authorized_keys": `${otherKey}\n# begin flotilla (written by flotilla, do not edit)\n${key}\n# end flotilla (written by flotilla, do not edit)\n`,
        },
      },
      {
        name: "keys beside those of an earlier boot",
        given: {
          "/root/.ssh/authorized_keys": `# begin flotilla (written by flotilla, do not edit)\n${otherKey}\n# end flotilla (written by flotilla, do not edit)\n`,
        },
        step: step({ kind: "authorized-keys", user: "root", set: "flotilla", keys: [key], keeps: true }),
        expect: {
          "/root/.ssh/authorized_keys": `# begin flotilla (written by flotilla, do not edit)\n${otherKey}\n${key}\n# end flotilla (written by flotilla, do not edit)\n`,
        },
      },
    ];
    for (const { name: what, given = {}, step: one, expect } of cases)
      test(what, async () => {
        for (const [path, text] of Object.entries(given)) await machine.put(path, text);
        const { setup } = machine;
        assert.deepEqual(await setup.check(one, []), []);
        const first = await setup.look(one);
        assert.equal(first.same, false);
        for (const [path, text] of Object.entries(given))
          assert.equal(await machine.read(path), text, "looking changed it");
        await setup.apply(one, never);
        for (const [path, text] of Object.entries(expect)) assert.equal(await machine.read(path), text, path);
        assert.equal((await setup.look(one)).same, true);
        await setup.apply(one, never); // safe to repeat
        for (const [path, text] of Object.entries(expect)) assert.equal(await machine.read(path), text, path);
      });

    test("a mode is set and looked at", async () => {
      const one = step({ kind: "file", file: wish("/etc/secret", "s\n", { mode: 0o600, isSecret: true }) });
      await machine.put("/etc/secret", "s\n");
      assert.deepEqual(await machine.setup.look(one), { same: false, before: undefined, after: undefined });
      await machine.setup.apply(one, never);
      assert.equal(await machine.mode("/etc/secret"), 0o600);
      assert.deepEqual(await machine.setup.look(one), { same: true, before: undefined, after: undefined });
    });

    test("what is not there is removed without a word, and no unit's own file is taken for a mask", async () => {
      const { setup } = machine;
      const gone = step({ kind: "remove", path: "/etc/nowhere/file" });
      assert.equal((await setup.look(gone)).same, true);
      await setup.apply(gone, never);
      await machine.put("/run/systemd/system/a.service", "[Service]\n");
      const one = step({ kind: "unmask", path: "/run/systemd/system/a.service" });
      assert.equal((await setup.look(one)).same, true);
      await setup.apply(one, never);
      assert.equal(await machine.read("/run/systemd/system/a.service"), "[Service]\n");
    });

    test("a file goes only while it holds what was written there", async () => {
      const { setup } = machine;
      const gone = step({ kind: "remove", path: "/etc/motd", content: sha256("ours\n") });
      await machine.put("/etc/motd", "theirs\n");
      assert.equal((await setup.look(gone)).same, false);
      await assert.rejects(setup.apply(gone, never), { code: "setup-changed" });
      assert.equal(await machine.read("/etc/motd"), "theirs\n");
      await machine.put("/etc/motd", "ours\n");
      await setup.apply(gone, never);
      assert.equal(await machine.read("/etc/motd"), undefined);
      await setup.apply(gone, never);
    });

    test("what cannot be is found beforehand", async () => {
      const { setup } = machine;
      await machine.putFolder("/etc/taken");
      const codes = async (one: Step, before: readonly Step[] = []): Promise<readonly string[]> =>
        (await setup.check(one, before)).map((problem) => {
          assert.equal(problem.at?.line, 3, problem.message);
          return problem.code;
        });
      assert.deepEqual(await codes(step({ kind: "file", file: wish("/etc/taken", "x") })), ["setup-path"]);
      const owned = step({ kind: "file", file: wish("/srv/x", "x", { owner: "web", group: "web" }) });
      assert.deepEqual(await codes(owned), ["setup-owner"]);
      assert.deepEqual(await codes(owned, [step({ kind: "user", user: webUser })]), []);
      const start = step({ kind: "unit", unit: "web.service", command: "start" });
      assert.deepEqual(await codes(start), ["setup-unit"]);
      const text = step({ kind: "file", file: wish("/etc/systemd/system/web.service", "[Service]\n") });
      assert.deepEqual(await codes(start, [text]), []);
      const brings = (names: readonly string[]): Step =>
        step({ kind: "packages", names, update: true, upgrade: false });
      assert.deepEqual(await codes(start, [brings(["web"])]), []);
      assert.deepEqual(await codes(start, [brings([])]), ["setup-unit"]);
      const keys = step({ kind: "authorized-keys", user: "web", set: "flotilla", keys: [key] });
      assert.deepEqual(await codes(keys), ["setup-user"]);
      assert.deepEqual(await codes(keys, [step({ kind: "user", user: webUser })]), []);
    });

    test("nothing is carried out after the end was asked for", async () => {
      const over = AbortSignal.abort();
      await assert.rejects(machine.setup.apply(step({ kind: "file", file: wish("/etc/motd", "x") }), over));
      assert.equal(await machine.read("/etc/motd"), undefined);
    });

    test("facts tell which paths are there and which may be replaced", async () => {
      await machine.put("/etc/mine.conf", "# Made by flotilla bootstrap; more\nA=1\n");
      await machine.put("/etc/idle.conf", "# nothing\n\n; here\n");
      await machine.put("/etc/yours.conf", "A=1\n");
      const facts = await machine.setup.facts({
        units: ["nowhere.service"],
        programs: [],
        paths: ["/etc/mine.conf", "/etc/idle.conf", "/etc/yours.conf", "/etc/none.conf", "/etc/yours.conf/below"],
      });
      assert.deepEqual([...facts.paths], ["/etc/mine.conf", "/etc/idle.conf", "/etc/yours.conf"]);
      assert.deepEqual([...facts.ours], ["/etc/mine.conf", "/etc/idle.conf"]);
      assert.equal(facts.contents.get("/etc/yours.conf"), sha256("A=1\n"));
      assert.equal(facts.contents.size, 3);
      assert.deepEqual([...facts.units], []);
      assert.equal(facts.defaultUser, "root");
    });
  });
}

export const webUser = {
  name: "web",
  gecos: undefined,
  homedir: undefined,
  createHome: true,
  primaryGroup: undefined,
  groups: [],
  userGroup: true,
  system: false,
  logInit: true,
  shell: undefined,
  uid: undefined,
  expireDate: undefined,
} as const;
