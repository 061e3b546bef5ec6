// A working copy of units for system tests, whose commits are pushed to a bare repository that a cluster pulls from.
import { execFile } from "node:child_process";
import { lstat, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface UnitsRepositoryOptions {
  /** Made when it is not there; the caller's to remove. */
  readonly directory: string;
  /** Path of the bare repository. */
  readonly origin: string;
}

export class UnitsRepository {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async make({ directory, origin }: UnitsRepositoryOptions): Promise<UnitsRepository> {
    const repository = new UnitsRepository(directory);
    await mkdir(directory, { recursive: true });
    await repository.#git("init", "--quiet", "--initial-branch=main");
    await repository.#git("config", "user.name", "Test");
    await repository.#git("config", "user.email", "test@localhost");
    await repository.#git("remote", "add", "origin", origin);
    return repository;
  }

  /** Writes files (`"-> TARGET"` is a link, `null` removes), commits and pushes them; resolves with the commit's id. */
  async commit(files: Readonly<Record<string, string | null>>): Promise<string> {
    for (const [path, content] of Object.entries(files)) {
      const file = join(this.#directory, path);
      await mkdir(dirname(file), { recursive: true });
      if (await lstat(file).catch(() => undefined)) await rm(file);
      if (content?.startsWith("-> ") === true) await symlink(content.slice(3), file);
      else if (content !== null) await writeFile(file, content);
    }
    await this.#git("add", "--all");
    await this.#git("commit", "--quiet", "--allow-empty", "--message", Object.keys(files).join(" ").slice(0, 60));
    await this.#git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/main");
    return (await this.#git("rev-parse", "HEAD")).trim();
  }

  async #git(...args: string[]): Promise<string> {
    const env = { PATH: process.env["PATH"], HOME: this.#directory, GIT_CONFIG_NOSYSTEM: "1", LC_ALL: "C" };
    return (await run("git", ["-C", this.#directory, ...args], { env, timeout: 60_000 })).stdout;
  }
}
