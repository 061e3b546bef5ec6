// The git adapter keeps the contract over every transport: http and https from git's own backend, ssh from a real sshd, and
// a path on this machine.
import { existsSync } from "node:fs";
import { rename } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { Secret } from "../../agent/domain/settings.ts";
import { type GitWorld, gitContract } from "../contract/git.ts";
import { makeCertificates, startGitServer } from "./git-server.ts";
import {
  type SshServer,
  TestRepository,
  discard,
  openGit,
  scratch,
  sshServerProgram,
  startSshServer,
} from "./git-world.ts";

type Settings = Parameters<typeof openGit>[0];

/** A world of one repository at `path`; the remote breaks by going away, unless the transport has a way of its own. */
async function world(parts: {
  directory: string;
  path: string;
  settings: Settings;
  breaking?: (broken: boolean) => void;
  close?: () => Promise<void>;
}): Promise<GitWorld> {
  const { directory, path } = parts;
  const repository = await TestRepository.make(path);
  const opened: ReturnType<typeof openGit>[] = [];
  return {
    open: () => {
      const git = openGit(parts.settings, { directory: join(directory, "state") });
      opened.push(git);
      return git;
    },
    commit: async (files, subject) => await repository.commit(files, subject === undefined ? {} : { subject }),
    reset: async (commit) => await repository.reset(commit),
    breakRemote: async () => {
      if (parts.breaking === undefined) await rename(path, `${path}.away`);
      else parts.breaking(true);
    },
    restore: async () => {
      if (parts.breaking === undefined) await rename(`${path}.away`, path);
      else parts.breaking(false);
    },
    close: async () => {
      await Promise.all(opened.map((git) => git.close()));
      await parts.close?.();
      await discard(directory);
    },
  };
}

gitContract("http, with a token", async () => {
  const directory = await scratch();
  const login = { username: "git", password: "s3cret-token" };
  const server = await startGitServer({ directory: join(directory, "server"), login });
  return await world({
    directory,
    path: server.repository,
    settings: { url: server.url, token: new Secret(login.password) },
    breaking: (broken) => {
      server.fault = broken ? { kind: "status", status: 503 } : undefined;
    },
    close: async () => await server.close(),
  });
});

gitContract("https, with a CA of one's own", async () => {
  const directory = await scratch();
  const tls = await makeCertificates(join(directory, "tls"));
  const server = await startGitServer({ directory: join(directory, "server"), tls });
  return await world({
    directory,
    path: server.repository,
    settings: { url: server.url, caFile: tls.caFile },
    breaking: (broken) => {
      server.fault = broken ? { kind: "status", status: 500 } : undefined;
    },
    close: async () => await server.close(),
  });
});

gitContract("a path on this machine", async () => {
  const directory = await scratch();
  const path = join(directory, "a repository's path");
  return await world({ directory, path, settings: { url: path } });
});

if (sshServerProgram === undefined || !existsSync("/usr/bin/ssh")) {
  test("git contract: ssh", { skip: "needs sshd: apt-get install openssh-server" });
} else {
  suite("with an ssh server", () => {
    let ssh: SshServer;
    let folder: string;
    before(async () => {
      folder = await scratch();
      ssh = await startSshServer(join(folder, "sshd"));
    });
    after(async () => {
      await ssh.close();
      await discard(folder);
    });
    gitContract("ssh", async () => {
      const directory = await scratch();
      const path = join(directory, "it's a repository!");
      const { keyFile: sshKeyFile, knownHostsFile } = ssh;
      return await world({
        directory,
        path,
        settings: { url: ssh.url(path.replaceAll(" ", "%20")), sshKeyFile, knownHostsFile },
      });
    });
  });
}
