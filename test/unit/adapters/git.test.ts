// The pure parts of the git adapter: addresses, branch names, packet lines, tree objects, and work that is shared.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { parseLocation, withoutSecrets } from "../../../agent/adapters/git/location.ts";
import { advertiseBranch, askForBranch, checkAnswer, checkBranchName } from "../../../agent/adapters/git/refs.ts";
import { SharedWork } from "../../../agent/adapters/git/shared.ts";
import { type Transport, pickEnvironment } from "../../../agent/adapters/git/transport.ts";
import { parseTree } from "../../../agent/adapters/git/tree.ts";
import { Problem } from "../../../agent/domain/problem.ts";

suite("git addresses", () => {
  const good: Readonly<Record<string, object>> = {
    "https://git.example.org/team/units.git/": { kind: "http", base: "https://git.example.org/team/units.git" },
    "http://git.example.org:8080/units": { kind: "http", base: "http://git.example.org:8080/units" },
    "https://bot@git.example.org/units": { kind: "http", user: "bot", shown: "https://git.example.org/units" },
    "ssh://git@git.example.org:2222/team/units.git": { kind: "ssh", user: "git", port: 2222, path: "/team/units.git" },
    "ssh://git.example.org/~me/a%20b": { kind: "ssh", user: undefined, path: "~me/a b" },
    "ssh://[::1]/units": { kind: "ssh", host: "::1", shown: "ssh://[::1]/units" },
    "git@git.example.org:team/units.git": { kind: "ssh", user: "git", host: "git.example.org", path: "team/units.git" },
    "git.example.org:/srv/units": { kind: "ssh", user: undefined, path: "/srv/units" },
    "/srv/units.git": { kind: "local", path: "/srv/units.git" },
    "file:///srv/my%20units": { kind: "local", path: "/srv/my units" },
  };
  for (const [url, expected] of Object.entries(good))
    test(`takes ${url}`, () => {
      const location = parseLocation(url);
      assert.ok(location.ok);
      for (const [name, value] of Object.entries(expected))
        assert.equal((location.value as unknown as Record<string, unknown>)[name], value, name);
    });

  const bad: Readonly<Record<string, RegExp>> = {
    "https://me:hunter2@git.example.org/units": /holds a password/,
    "ssh://me:hunter2@git.example.org/units": /holds a password/,
    "https://git.example.org/units?token=hunter2": /query/,
    "ssh://-oProxyCommand=hunter2/units": /host/,
    "git@-oProxyCommand=hunter2:units": /host/,
    "-oProxyCommand=hunter2@host:units": /user/,
    "ssh://-lroot@host/units": /user/,
    "deploy:hunter2@git.example.org:units.git": /holds a password/,
    "git@host:-x": /no repository/,
    "ssh://host/": /no repository/,
    "file://other/srv/units": /must not name a host/,
    "/": /absolute path/,
    "units.git": /Use https/,
    "git://git.example.org/units": /Use https/,
    "https://git.example.org/a\nb": /Use https/,
    "file:///srv/a%0Ab": /Use https/,
    "http://[": /Use https/,
    "https:://me:hunter2@git.example.org/units": /Use https/,
    "git:https://me:hunter2@git.example.org/units": /Use https/,
  };
  for (const [url, says] of Object.entries(bad))
    test(`refuses ${JSON.stringify(url)}`, () => {
      const location = parseLocation(url);
      assert.ok(!location.ok);
      const [problem] = location.problems;
      assert.equal(problem?.code, "git-repository");
      assert.match(problem.hint ?? "", says);
      assert.ok(!/\p{Cc}/u.test(problem.message), "one line");
      if (url.includes(":hunter2@")) assert.ok(!problem.message.includes("hunter2"));
    });

  test("what is shown of an address holds no secret", () => {
    assert.equal(withoutSecrets("https://a:b@host/x?c=d#e"), "https://host/x");
    assert.equal(withoutSecrets("git@host:x.git"), "git@host:x.git");
  });
});

suite("git branch names", () => {
  for (const name of ["main", "feature/x", "v1.2", "ünits", "a@b"])
    test(`takes ${name}`, () => assert.equal(checkBranchName(name), undefined));
  for (const name of [
    "",
    "@",
    "-x",
    ".x",
    "x.",
    "a..b",
    "a//b",
    "/a",
    "a/",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a b",
    "a~1",
    "a^",
    "a:b",
    "a?",
    "a*",
    "a[",
    "a\\b",
    "a@{1}",
    "a\u0000",
    "x".repeat(201),
  ])
    test(`refuses ${JSON.stringify(name.slice(0, 20))}`, () => assert.equal(checkBranchName(name)?.code, "git-branch"));
});

const packet = (text: string) => (Buffer.byteLength(text) + 4).toString(16).padStart(4, "0") + text;
const id = (digit: string) => digit.repeat(40);
const signal = new AbortController().signal;
const question = { branch: "main", shown: "there", signal };

function transport(advertisement: string, answers: readonly string[] = []): Transport & { readonly asked: string[] } {
  const left = [...answers];
  const asked: string[] = [];
  return {
    asked,
    advertise: async () => [Buffer.from(advertisement)],
    exchange: async (body) => {
      asked.push(Buffer.from(body).toString());
      return [Buffer.from(left.shift() ?? "")];
    },
    close: async () => undefined,
  };
}

suite("git refs", () => {
  const preface = `${packet("# service=git-upload-pack\n")}0000`;
  const refs = (...lines: string[]) => preface + lines.map((line) => packet(`${line}\n`)).join("") + "0000";

  test("version 0: the branch among all refs", async () => {
    const answer = refs(
      `${id("a")} HEAD\0side-band-64k symref=HEAD:refs/heads/other`,
      `${id("b")} refs/heads/main`,
      `${id("c")} refs/heads/other`,
    );
    assert.equal(await askForBranch(transport(answer), question), id("b"));
  });
  test("version 2: asks for one name, and for all only when that one is not there", async () => {
    const hello = `${preface}${packet("version 2\n")}${packet("ls-refs\n")}0000`;
    const found = transport(hello, [
      `${packet(`${id("d")} refs/heads/main\n`)}${packet(`${id("e")} refs/heads/main2\n`)}0000`,
    ]);
    assert.equal(await askForBranch(found, question), id("d"));
    assert.equal(found.asked.length, 1);
    assert.match(found.asked[0]!, /^0014command=ls-refs\n0001001fref-prefix refs\/heads\/main\n0000$/);
    const other = transport(hello, ["0000", `${packet(`${id("e")} refs/heads/master\n`)}0000`]);
    await assert.rejects(
      askForBranch(other, question),
      (error: Problem) => error.code === "git-branch" && /"master"/.test(error.hint ?? ""),
    );
    assert.equal(other.asked.length, 2);
  });
  for (const [name, answer] of Object.entries({
    "git before 2.41": `${preface}0000`,
    "git since 2.41": refs(`${id("0")} capabilities^{}\0side-band-64k`),
  }))
    test(`an empty repository of ${name}`, async () => {
      await assert.rejects(askForBranch(transport(answer), question), { code: "git-branch", hint: /empty/ });
    });
  for (const [name, answer] of Object.entries({
    html: "<html>",
    "a cut line": `${preface}003f${id("a")}`,
    "a length of 3": `${preface}0003`,
  }))
    test(`not git's answer: ${name}`, async () => {
      await assert.rejects(askForBranch(transport(answer), question), { code: "git-repository" });
    });
  test("an error that the server put into its answer", async () => {
    await assert.rejects(
      askForBranch(transport(packet("ERR access denied\u001b[31m\n")), question),
      (error: Problem) => {
        assert.equal(error.code, "git-repository");
        assert.equal((error.cause as Error).message, "access denied [31m");
        return true;
      },
    );
  });
  test("what the library is told: one branch and its HEAD, no name that anybody chose", async () => {
    const answer = refs(
      `${id("a")} refs/heads/../../x\0multi_ack side-band-64k symref=HEAD:refs/heads/../../../etc`,
      `${id("b")} refs/heads/main`,
    );
    const told = Buffer.from(await advertiseBranch(transport(answer), question)).toString();
    assert.ok(!told.includes(".."));
    assert.match(
      told,
      /^001e# service=git-upload-pack\n0000[0-9a-f]{4}b{40} HEAD\0multi_ack side-band-64k symref=HEAD:refs\/heads\/units\n[0-9a-f]{4}b{40} refs\/heads\/units\n0000$/,
    );
  });
  test("a whole pack answer is told from a cut one and from a refusal", () => {
    const whole = `${packet("NAK\n")}${packet("\u0001PACK")}0000`;
    assert.equal(Buffer.from(checkAnswer([Buffer.from(whole)], "there")).toString(), whole);
    for (const cut of ["", whole.slice(0, -4), whole.slice(0, 11), whole.slice(0, -2)])
      assert.throws(() => checkAnswer([Buffer.from(cut)], "there"), { code: "git-unreachable" });
    assert.throws(
      () => checkAnswer([Buffer.from(`${packet("\u0003not our ref")}0000`)], "there"),
      (error: Problem) => /not our ref/.test((error.cause as Error).message),
    );
  });
});

suite("git tree objects", () => {
  const entry = (mode: string, name: string) =>
    Buffer.concat([Buffer.from(`${mode} ${name}\0`), Buffer.alloc(20, 0xab)]);
  test("every kind of entry, with names as they are", () => {
    const bytes = Buffer.concat([
      entry("100644", "a b\\x2d.mount"),
      entry("100755", "run"),
      entry("120000", "link"),
      entry("160000", "sub"),
      entry("40000", "dir"),
    ]);
    assert.deepEqual(
      parseTree(bytes).map(({ name, kind }) => `${kind} ${name}`),
      ["file a b\\x2d.mount", "file run", "link link", "submodule sub", "tree dir"],
    );
    assert.equal(parseTree(bytes)[0]?.oid, "ab".repeat(20));
    assert.deepEqual(parseTree(Buffer.alloc(0)), []);
  });
  for (const name of ["", ".", "..", "a/b"])
    test(`refuses the name ${JSON.stringify(name)}`, () =>
      assert.throws(() => parseTree(entry("100644", name)), /entry named/));
  test("refuses strange modes and cut objects", () => {
    assert.throws(() => parseTree(entry("777", "x")), /mode 777/);
    for (const cut of [3, 10, 20])
      assert.throws(() => parseTree(entry("100644", "name").subarray(0, cut)), /cut short/);
  });
});

suite("shared work", () => {
  const aborted = () => new Problem("aborted", "Cannot go on");

  test("is done once for all who ask, and again for who asks later", async () => {
    let runs = 0;
    const work = new SharedWork(async () => ++runs, aborted);
    assert.deepEqual(await Promise.all([work.join(), work.join(), work.join()]), [1, 1, 1]);
    assert.equal(await work.join(), 2);
  });
  test("is aborted when the last one has left; the next caller waits for its end and starts anew", async () => {
    const events: string[] = [];
    let runs = 0;
    const work = new SharedWork(async (abort) => {
      const run = ++runs;
      events.push(`begin ${run}`);
      if (run === 1)
        await new Promise<void>((resolve) =>
          abort.addEventListener("abort", () => setImmediate(resolve), { once: true }),
        );
      events.push(`end ${run}`);
      return run;
    }, aborted);
    const [first, second] = [new AbortController(), new AbortController()];
    const left = [work.join(first.signal), work.join(second.signal)].map((each) =>
      assert.rejects(each, { code: "aborted" }),
    );
    first.abort();
    await left[0];
    assert.deepEqual(events, ["begin 1"], "the second still waits for it");
    second.abort();
    await left[1];
    assert.equal(await work.join(), 2);
    assert.deepEqual(events, ["begin 1", "end 1", "begin 2", "end 2"]);
  });
  test("tells its failure to all, and forgets it", async () => {
    let runs = 0;
    const work = new SharedWork(async () => {
      if (++runs === 1) throw new Problem("git-unreachable", "Cannot reach it");
      return runs;
    }, aborted);
    for (const each of await Promise.allSettled([work.join(), work.join()])) assert.equal(each.status, "rejected");
    assert.equal(await work.join(), 2);
  });
});

test("children and transports see a short list of the environment", () => {
  const picked = pickEnvironment({
    PATH: "/bin",
    HTTPS_PROXY: "http://p",
    no_proxy: "x",
    NODE_OPTIONS: "--require x",
    GIT_DIR: "/x",
    AWS_SECRET: "s",
    LD_PRELOAD: "x",
    HOME: undefined,
  });
  assert.deepEqual(picked, { PATH: "/bin", HTTPS_PROXY: "http://p", no_proxy: "x" });
});
