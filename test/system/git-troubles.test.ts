// Bad situations, one after another: each is refused with the right code, in one clear line that names the value and never
// a secret, and a fetch after the trouble succeeds.
import assert from "node:assert/strict";
import { chmod, chown, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import type { CommitId } from "../../agent/domain/names.ts";
import { describeProblem, explainError, toRecord } from "../../agent/domain/problem.ts";
import { Secret } from "../../agent/domain/settings.ts";
import { rejects } from "../contract/git.ts";
import { type GitServer, type Proxy, makeCertificates, startGitServer, startProxy } from "./git-server.ts";
import {
  type SshServer,
  TestRepository,
  discard,
  freePort,
  openGit,
  scratch,
  sshServerProgram,
  startSshServer,
} from "./git-world.ts";

type Settings = Parameters<typeof openGit>[0];

const secret = "Gl0ry-t0ken";
let folder: string;
let stores = 0;

before(async () => {
  folder = await scratch();
});
after(async () => {
  await discard(folder);
});

interface Expected {
  readonly code: string;
  /** Found in the line that people see. */
  readonly says: RegExp;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** One fetch into a new store, refused; the line that people see. */
async function refused(settings: Settings, { code, says, environment }: Expected): Promise<string> {
  const git = openGit(settings, {
    directory: join(folder, `state-${++stores}`),
    ...(environment === undefined ? {} : { environment }),
  });
  try {
    const problem = await rejects(git.fetch(), [code]);
    const line = describeProblem(toRecord(problem));
    assert.match(line, says);
    assert.ok(!line.includes("\n"), "one line");
    assert.ok(!line.includes(secret) && !JSON.stringify(toRecord(problem)).includes(secret), "no secret");
    assert.ok(!line.includes(Buffer.from(`git:${secret}`).toString("base64")), "no secret in another form");
    assert.equal(await git.head(), undefined);
    return line;
  } finally {
    await git.close();
  }
}

async function fetched(
  settings: Settings,
  environment?: Readonly<Record<string, string | undefined>>,
): Promise<CommitId> {
  const git = openGit(settings, {
    directory: join(folder, `state-${++stores}`),
    ...(environment === undefined ? {} : { environment }),
  });
  try {
    return await git.fetch();
  } catch (error) {
    throw new Error(explainError(error), { cause: error });
  } finally {
    await git.close();
  }
}

suite("git over http: troubles", { timeout: 300_000 }, () => {
  let server: GitServer;
  let head: CommitId;
  const token = new Secret(secret);
  before(async () => {
    server = await startGitServer({ directory: join(folder, "http"), login: { username: "git", password: secret } });
    const repository = await TestRepository.make(server.repository);
    head = await repository.commit({ "units/a.service": "[Service]\n" });
    for (const branch of ["main-old", "develop", "feature/x", "release-1", "release-2", "release-3"])
      await repository.git("branch", branch);
  });
  after(async () => {
    await server.close();
  });

  const named = (name: string) => server.url.replace("units.git", name);
  const withFault = async (fault: GitServer["fault"], work: () => Promise<unknown>) => {
    server.fault = fault;
    try {
      await work();
    } finally {
      server.fault = undefined;
    }
  };

  test("a host that does not exist", async () => {
    await refused(
      { url: "https://no-such-host.invalid/x.git", token },
      {
        code: "git-unreachable",
        says: /find the host of "https:\/\/no-such-host\.invalid\/x\.git".*ENOTFOUND|EAI_AGAIN/,
      },
    );
  });
  test("a port where nobody listens", async () => {
    const url = `http://127.0.0.1:${await freePort()}/x.git`;
    await refused({ url }, { code: "git-unreachable", says: /Cannot connect to the host of "http:.*ECONNREFUSED/ });
  });
  test("a server that says nothing: the bound on one fetch", async () => {
    await withFault({ kind: "hang" }, async () => {
      const started = performance.now();
      await refused({ url: server.url, token, timeoutMs: 400 }, { code: "git-unreachable", says: /within 0\.4 s/ });
      assert.ok(performance.now() - started < 5_000);
    });
  });
  test("a server that goes silent while the pack is asked for", async () => {
    await withFault({ kind: "hang", on: "POST" }, async () => {
      await refused({ url: server.url, token, timeoutMs: 6_000 }, { code: "git-unreachable", says: /within 6 s/ });
    });
  });
  test("a private repository without credentials", async () => {
    await refused({ url: server.url }, { code: "git-refused", says: /Cannot log in.*private.*set a token/ });
  });
  test("a wrong token", async () => {
    await refused(
      { url: server.url, token: new Secret("wrong") },
      { code: "git-refused", says: /refused the token or password/ },
    );
  });
  test("user and password", async () => {
    assert.equal(await fetched({ url: server.url, username: "git", password: token }), head);
    assert.equal(await fetched({ url: server.url.replace("//", "//git@"), password: token }), head);
  });
  test("a password in the address", async () => {
    await refused(
      { url: server.url.replace("//", `//git:${secret}@`) },
      { code: "git-repository", says: /Cannot use the repository address "http:\/\/127.*holds a password/ },
    );
  });
  test("forbidden", async () => {
    await withFault({ kind: "status", status: 403 }, async () => {
      await refused({ url: server.url, token }, { code: "git-refused", says: /Cannot log in.*403/ });
    });
  });
  test("no such repository", async () => {
    await refused(
      { url: named("other.git"), token },
      { code: "git-repository", says: /Cannot find a repository at.*other\.git.*404/ },
    );
  });
  test("a server in trouble, then well again", async () => {
    await withFault({ kind: "status", status: 503 }, async () => {
      await refused({ url: server.url, token }, { code: "git-unreachable", says: /Cannot get an answer.*503/ });
    });
    assert.equal(await fetched({ url: server.url, token }), head);
  });
  test("a web page in place of a repository", async () => {
    await withFault({ kind: "page" }, async () => {
      await refused({ url: server.url, token }, { code: "git-repository", says: /not as git does/ });
    });
  });
  test("a transfer cut in the middle leaves nothing bad behind", async () => {
    const settings = { url: server.url, token };
    const directory = join(folder, `state-${++stores}`);
    const git = openGit(settings, { directory });
    try {
      for (const cut of [
        { kind: "cut", afterBytes: 30, on: "GET" },
        { kind: "cut", afterBytes: 10, on: "POST" },
      ] as const)
        await withFault(cut, async () => {
          await rejects(git.fetch(), ["git-unreachable"]);
          assert.equal(await git.head(), undefined);
        });
      // The poll is small: let it through, and cut the pack itself.
      await withFault({ kind: "cut", afterBytes: 130, on: "POST" }, async () => {
        const problem = await rejects(git.fetch(), ["git-unreachable"]);
        assert.match(problem.message, /whole answer/);
      });
      assert.equal(await git.head(), undefined);
      assert.equal(await git.has(head), false);
      assert.equal(await git.fetch(), head);
      assert.equal(await git.has(head), true);
    } finally {
      await git.close();
    }
  });
  test("an unknown branch: which there are, and which was meant", async () => {
    const line = await refused(
      { url: server.url, token, branch: "mian" },
      { code: "git-branch", says: /Cannot find branch "mian" in.*Did you mean "main"\?/ },
    );
    assert.match(line, /and 2 more/);
    assert.equal(line.match(/"[a-z0-9/-]+"/g)?.length, 1 + 1 + 5, "the branch, the suggestion and five names");
  });
  for (const branch of ["../../../etc", "-x", "a b", "x.lock", "refs//x", "a\nb", "@", ""])
    test(`a branch name that git would not take: ${JSON.stringify(branch)}`, async () => {
      await refused({ url: server.url, token, branch }, { code: "git-branch", says: /Cannot use the branch name/ });
    });
  test("an empty repository", async () => {
    await TestRepository.make(join(folder, "http", "empty.git"));
    await refused(
      { url: named("empty.git"), token },
      { code: "git-branch", says: /repository is empty; push a commit/ },
    );
  });
  test("a repository with SHA-256 ids", async () => {
    const path = join(folder, "http", "sha256.git");
    const { execFileSync } = await import("node:child_process");
    execFileSync("git", ["init", "--quiet", "--bare", "--object-format=sha256", path]);
    await refused(
      { url: named("sha256.git"), token },
      { code: "git-repository", says: /SHA-256 ids are not supported/ },
    );
  });
  test("a HEAD that points to a branch which is not there does not matter", async () => {
    const repository = await TestRepository.make(join(folder, "http", "headless.git"));
    const commit = await repository.commit({ "units/a.service": "" });
    await repository.git("symbolic-ref", "HEAD", "refs/heads/nowhere");
    assert.equal(await fetched({ url: named("headless.git"), token }), commit);
  });
  test("a folder that leaves the repository", async () => {
    await refused({ url: server.url, token, path: "units/../.." }, { code: "git-path", says: /Cannot use the path/ });
  });
  test("addresses that cannot be used", async () => {
    for (const url of [
      "",
      "ftp://x/y",
      "x",
      "ssh://-oProxyCommand=x/y",
      "-oProxyCommand=x:y",
      "git@host:-x",
      "ssh://-l@host/x",
      "file://host/x",
      "http://host/x?token=1",
      "git://host/x",
    ])
      await refused({ url }, { code: "git-repository", says: /Cannot use the repository address/ });
  });

  for (const status of [301, 302, 303, 307, 308])
    test(`a redirect is followed (${status}), and asked for the pack where it led`, async () => {
      const moved = await startGitServer({ directory: join(folder, `moved-${status}`) });
      try {
        moved.fault = { kind: "redirect", status, to: server.url };
        // Another port is another origin: credentials do not follow.
        await refused({ url: moved.url, token }, { code: "git-refused", says: /Cannot log in/ });
        assert.ok(
          moved.seen.every(({ authorization }) => authorization !== undefined),
          "the configured host is told",
        );
        const open = await startGitServer({ directory: join(folder, `open-${status}`) });
        try {
          const commit = await (await TestRepository.make(open.repository)).commit({ "units/a.service": "" });
          moved.fault = { kind: "redirect", status, to: open.url };
          assert.equal(await fetched({ url: moved.url, token }), commit);
          assert.ok(open.seen.length >= 4, "two for the poll and two for the pack");
          assert.ok(
            open.seen.every(({ authorization }) => authorization === undefined),
            "the other host is not told",
          );
        } finally {
          await open.close();
        }
      } finally {
        await moved.close();
      }
    });
  test("a redirect in a circle, and one to a login page", async () => {
    await withFault({ kind: "redirect", status: 302, to: server.url }, async () => {
      await refused({ url: server.url, token }, { code: "git-repository", says: /more than 5/ });
    });
    await withFault({ kind: "redirect", status: 302, to: `http://127.0.0.1:${server.port}/login` }, async () => {
      await refused(
        { url: server.url, token },
        { code: "git-repository", says: /leads to "http.*\/login".*no repository/ },
      );
    });
  });

  suite("with a proxy", () => {
    let proxy: Proxy;
    let closed: Proxy;
    before(async () => {
      proxy = await startProxy();
      closed = await startProxy({ login: "user:pass" });
    });
    after(async () => {
      await proxy.close();
      await closed.close();
    });
    const through = (more: Record<string, string>) => ({ PATH: process.env["PATH"], HOME: folder, ...more });

    test("http goes through http_proxy, by absolute address", async () => {
      proxy.seen.length = 0;
      assert.equal(await fetched({ url: server.url, token }, through({ http_proxy: proxy.url })), head);
      assert.ok(
        proxy.seen.length >= 4 && proxy.seen.every((line) => /^(GET|POST) http:/.test(line)),
        proxy.seen.join("\n"),
      );
    });
    test("no_proxy goes around it", async () => {
      proxy.seen.length = 0;
      const environment = through({ HTTP_PROXY: proxy.url, no_proxy: "example.org,127.0.0.1" });
      assert.equal(await fetched({ url: server.url, token }, environment), head);
      assert.deepEqual(proxy.seen, []);
    });
    test("a proxy that wants a login", async () => {
      const bare = closed.url.replace("user:pass@", "");
      await refused(
        { url: server.url, token },
        { code: "git-refused", says: /Cannot pass the proxy/, environment: through({ http_proxy: bare }) },
      );
      assert.equal(await fetched({ url: server.url, token }, through({ http_proxy: closed.url })), head);
    });
    test("a proxy that is not there", async () => {
      const environment = through({ all_proxy: `http://127.0.0.1:${await freePort()}` });
      await refused({ url: server.url, token }, { code: "git-unreachable", says: /ECONNREFUSED/, environment });
    });
    test("a proxy without a scheme is http, as curl and git read it", async () => {
      proxy.seen.length = 0;
      const environment = through({ http_proxy: proxy.url.replace("http://", "") });
      assert.equal(await fetched({ url: server.url, token }, environment), head);
      assert.ok(proxy.seen.length >= 4, proxy.seen.join("\n"));
    });
    test("a proxy that is none: its variable is named", async () => {
      for (const value of [`ftp://me:${secret}@127.0.0.1:1`, `http://me:${secret}@:1:2`, `me:${secret}@:x`])
        await refused(
          { url: server.url, token },
          {
            code: "git-refused",
            says: /^Cannot use the proxy that HTTP_PROXY names \(Write it as http:/,
            environment: through({ HTTP_PROXY: value }),
          },
        );
    });
    test("https goes through https_proxy by CONNECT, and not through http_proxy", async () => {
      const tls = await makeCertificates(join(folder, "tls-proxy"));
      const secure = await startGitServer({ directory: join(folder, "https-proxy"), tls });
      try {
        const commit = await (await TestRepository.make(secure.repository)).commit({ "units/a.service": "" });
        const settings = { url: secure.url, caFile: tls.caFile };
        proxy.seen.length = 0;
        assert.equal(await fetched(settings, through({ https_proxy: proxy.url })), commit);
        assert.ok(proxy.seen.length > 0 && proxy.seen.every((line) => line.startsWith("CONNECT 127.0.0.1:")));
        proxy.seen.length = 0;
        assert.equal(await fetched(settings, through({ http_proxy: proxy.url })), commit);
        assert.deepEqual(proxy.seen, []);
        const environment = through({ https_proxy: closed.url.replace("user:pass@", "") });
        await refused(settings, { code: "git-refused", says: /Cannot pass the proxy/, environment });
      } finally {
        await secure.close();
      }
    });
  });

  test("https: an unknown CA, a CA file that is not there, one that is none, http spoken to it", async () => {
    const tls = await makeCertificates(join(folder, "tls"));
    const secure = await startGitServer({ directory: join(folder, "https"), tls });
    try {
      const commit = await (await TestRepository.make(secure.repository)).commit({ "units/a.service": "" });
      const { url } = secure;
      await refused({ url, token }, { code: "git-refused", says: /Cannot trust the certificate.*Set the CA file/ });
      assert.equal(secure.seen.length, 0, "nothing was asked, and no secret told");
      await refused(
        { url, caFile: join(folder, "none.pem") },
        { code: "git-refused", says: /Cannot read the CA file ".*none\.pem"/ },
      );
      await writeFile(join(folder, "empty.pem"), "nothing\n");
      await refused({ url, caFile: join(folder, "empty.pem") }, { code: "git-refused", says: /must hold PEM/ });
      await refused(
        { url: url.replace("127.0.0.1", "localhost"), caFile: tls.caFile },
        { code: "git-refused", says: /host name/ },
      );
      await refused({ url: url.replace("https", "http") }, { code: "git-unreachable", says: /Cannot/ });
      await refused({ url: server.url.replace("http", "https") }, { code: "git-refused", says: /TLS/ });
      assert.equal(await fetched({ url, caFile: tls.caFile }), commit);

      secure.fault = { kind: "redirect", status: 302, to: server.url };
      await refused({ url, caFile: tls.caFile }, { code: "git-refused", says: /from https to "http:/ });
    } finally {
      await secure.close();
    }
  });
});

suite("git by an ssh that leaves something behind", { timeout: 60_000 }, () => {
  const notes: string[] = [];
  after(async () => {
    for (const note of notes)
      for (const pid of (await readFile(note, "utf8")).split("\n").filter((line) => line !== ""))
        process.kill(Number(pid));
  });

  /** Where this `ssh` is found first; it keeps no host apart, and writes down what it leaves behind. */
  async function withSsh(script: string): Promise<Record<string, string>> {
    const bin = join(folder, `bin-${++stores}`);
    const pids = join(bin, "pids");
    await mkdir(bin);
    await writeFile(pids, "");
    notes.push(pids);
    const lines = ["#!/bin/sh", 'for word in "$@"; do command=$word; done', script.replaceAll("PIDS", pids)];
    await writeFile(join(bin, "ssh"), `${lines.join("\n")}\n`, { mode: 0o755 });
    return { PATH: `${bin}:${process.env["PATH"] ?? ""}`, HOME: folder };
  }

  test("a master connection that keeps its stderr: what was fetched is there all the same", async () => {
    const repository = await TestRepository.make(join(folder, "master.git"));
    const commit = await repository.commit({ "units/a.service": "" });
    const environment = await withSsh('sleep 1000 </dev/null >/dev/null &\necho $! >>PIDS\nexec sh -c "$command"');
    const startedMs = performance.now();
    assert.equal(await fetched({ url: `host:${repository.path}`, timeoutMs: 20_000 }, environment), commit);
    assert.ok(performance.now() - startedMs < 15_000);
  });

  const stubborn: Readonly<Record<string, string>> = {
    "all its output is kept open": 'sleep 1000 </dev/null &\necho $! >>PIDS\nexec sh -c "$command"',
    "it says nothing and takes no SIGTERM": "trap '' TERM\nwhile :; do sleep 1; done",
  };
  for (const [name, script] of Object.entries(stubborn))
    test(`${name}: the bound on one fetch holds`, async () => {
      const repository = await TestRepository.make(join(folder, "stubborn.git"));
      await repository.commit({ "units/a.service": "" });
      const environment = await withSsh(script);
      const startedMs = performance.now();
      await refused(
        { url: `host:${repository.path}`, timeoutMs: 3_000 },
        { code: "git-unreachable", says: /within 3 s/, environment },
      );
      assert.ok(performance.now() - startedMs < 15_000);
    });
});

suite("git by a path: troubles", { timeout: 120_000 }, () => {
  test("no such folder, a folder without a repository, a repository of another user", async () => {
    const path = join(folder, "local.git");
    await refused(
      { url: path },
      { code: "git-repository", says: /Cannot find a repository at ".*local\.git".*no such folder/ },
    );
    await mkdir(path);
    await refused({ url: path }, { code: "git-repository", says: /Cannot find a repository/ });
    await discard(path);
    const repository = await TestRepository.make(path);
    const commit = await repository.commit({ "units/a.service": "" });
    assert.equal(await fetched({ url: `file://${path}` }), commit);
    if (process.getuid?.() === 0) {
      const everything = (await repository.git("rev-parse", "--git-dir"), [path]);
      for (const each of everything) await chown(each, 65_534, 65_534);
      assert.equal(await fetched({ url: path }), commit);
    }
  });
  test("a working copy with its .git, and a path through a link", async () => {
    const work = join(folder, "work tree");
    const bare = await TestRepository.make(join(folder, "for-work.git"));
    const commit = await bare.commit({ "units/a.service": "" });
    await bare.git("clone", "--quiet", bare.path, work);
    assert.equal(await fetched({ url: work }), commit);
    await symlink(work, join(folder, "by-link"));
    assert.equal(await fetched({ url: join(folder, "by-link") }), commit);
  });
  test("no git on this machine", async () => {
    const repository = await TestRepository.make(join(folder, "nogit.git"));
    await refused(
      { url: repository.path },
      {
        code: "git-unreachable",
        says: /Cannot run git.*Install git/,
        environment: { PATH: join(folder, "empty"), HOME: folder },
      },
    );
  });
  test("a repository whose objects are broken", async () => {
    const repository = await TestRepository.make(join(folder, "broken.git"));
    await repository.commit({ "units/a.service": "x".repeat(2_000) });
    const tree = await repository.git("rev-parse", "main:units");
    const packs = (await repository.git("count-objects", "-v")).includes("packs: 0");
    const object = join(repository.path, "objects", tree.slice(0, 2), tree.slice(2));
    assert.ok(packs, "fast-import unpacks small commits");
    await chmod(object, 0o600);
    await writeFile(object, "damage");
    await refused({ url: repository.path }, { code: "git-repository", says: /git fsck|Cannot/ });
  });
});

suite(
  "git over ssh: troubles",
  {
    timeout: 120_000,
    ...(sshServerProgram === undefined ? { skip: "needs sshd: apt-get install openssh-server" } : {}),
  },
  () => {
    let ssh: SshServer;
    let good: Settings;
    let commit: CommitId;
    before(async () => {
      ssh = await startSshServer(join(folder, "sshd"));
      const repository = await TestRepository.make(join(folder, "over-ssh.git"));
      commit = await repository.commit({ "units/a.service": "" });
      good = { url: ssh.url(repository.path), sshKeyFile: ssh.keyFile, knownHostsFile: ssh.knownHostsFile };
    });
    after(async () => {
      await ssh.close();
    });

    test("an unknown host key", async () => {
      const knownHostsFile = join(folder, "known-none");
      await writeFile(knownHostsFile, "");
      await refused(
        { ...good, knownHostsFile },
        { code: "git-refused", says: /Cannot trust the host.*host key is unknown/ },
      );
    });
    test("a changed host key", async () => {
      const knownHostsFile = join(folder, "known-other");
      const other = (await readFile(`${ssh.otherKeyFile}.pub`, "utf8")).split(" ").slice(0, 2).join(" ");
      await writeFile(knownHostsFile, `[127.0.0.1]:${ssh.port} ${other}\n`);
      await refused({ ...good, knownHostsFile }, { code: "git-refused", says: /host key has changed/ });
    });
    test("a key that the server does not know, one that is missing, one that others may read, one that is none", async () => {
      await refused(
        { ...good, sshKeyFile: ssh.otherKeyFile },
        { code: "git-refused", says: /Cannot log in.*refused the ssh key/ },
      );
      await refused(
        { ...good, sshKeyFile: join(folder, "none") },
        { code: "git-refused", says: /Cannot read the ssh key ".*none"/ },
      );
      const open = join(folder, "open key 100%h");
      await writeFile(open, await readFile(ssh.keyFile), { mode: 0o644 });
      await refused({ ...good, sshKeyFile: open }, { code: "git-refused", says: /Others may read the key file/ });
      await chmod(open, 0o600);
      assert.equal(await fetched({ ...good, sshKeyFile: open }), commit);
      const broken = join(folder, "broken-key");
      await writeFile(broken, "no key\n", { mode: 0o600 });
      await refused(
        { ...good, sshKeyFile: broken },
        { code: "git-refused", says: /Cannot use the ssh key|Cannot log in/ },
      );
    });
    test("nobody listens, no such host, no ssh on this machine", async () => {
      const port = await freePort();
      await refused(
        { ...good, url: `ssh://root@127.0.0.1:${port}/x` },
        { code: "git-unreachable", says: /Cannot connect to the host/ },
      );
      await refused(
        { ...good, url: "git@no-such-host.invalid:x.git" },
        { code: "git-unreachable", says: /Cannot find the host of "git@no-such-host\.invalid:x\.git"/ },
      );
      const environment = { PATH: join(folder, "empty"), HOME: folder };
      await refused(good, { code: "git-unreachable", says: /Cannot run ssh.*Install the OpenSSH client/, environment });
    });
    test("no such repository there; a path is a path and no command", async () => {
      await refused(
        { ...good, url: ssh.url("/var/empty/none.git") },
        { code: "git-repository", says: /Cannot find a repository at/ },
      );
      const mark = join(folder, "owned");
      for (const path of [`/x'; touch ${mark}; '`, `/$(touch ${mark})`, `/x\`touch ${mark}\``])
        await refused(
          { ...good, url: ssh.url(encodeURI(path)) },
          { code: "git-repository", says: /Cannot find a repository/ },
        );
      await assert.rejects(readFile(mark), { code: "ENOENT" });
    });
    test("an aborted fetch leaves no ssh behind", async () => {
      const git = openGit(good, { directory: join(folder, `state-${++stores}`) });
      const leaving = new AbortController();
      const fetching = rejects(git.fetch(leaving.signal), ["aborted"]);
      leaving.abort();
      await fetching;
      await git.close();
      assert.equal(await fetched(good), commit);
    });
  },
);
