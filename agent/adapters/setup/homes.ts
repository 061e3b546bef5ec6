// Homes of accounts that are there: one that a disk hides which was mounted since, or whose making was cut short, is made as
// a new account's is. For users.ts.
import { chmod, cp, lchown, mkdir, readdir, realpath, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import type { UserWish } from "../../domain/first-boot.ts";
import { Problem } from "../../domain/problem.ts";
import type { Account } from "./accounts.ts";
import { type Around, at, hintFor, unlessMissing } from "./around.ts";
import { type Spot, atSpot, inside, isRootsOwn, pathProblem, standing } from "./places.ts";

const skeleton = "/etc/skel";
const homeMode = 0o700;

/** Whether the account is to have a home of its own, and nothing stands in its place. */
export async function lacksHome(around: Around, wish: UserWish, account: Account): Promise<boolean> {
  const { home } = account;
  // An image's accounts share folders, or name one that is not meant to be: /var/www, /nonexistent
  const isOwn = wish.homedir === undefined ? basename(home) === account.name : home === wish.homedir;
  if (!wish.createHome || !isOwn || !/^\/+[^/]/.test(home)) return false;
  try {
    const found = await atSpot(home, { root: around.root, create: false, followLast: true }, standing);
    return found === undefined || found.kind === "nothing";
  } catch (error) {
    if (error instanceof Problem) return false; // what stands in the way is no matter of the account; its keys tell of it
    throw error;
  }
}

/**
 * Made beside its place, so that what stands there is whole. Resolves with the paths of all that was made. Rejects with
 * "setup-path" where others than root could lead it elsewhere, "setup-write".
 */
export async function makeHome(around: Around, account: Account): Promise<readonly string[]> {
  const { home } = account;
  const names = await atSpot(home, { root: around.root, create: true, followLast: true }, async (spot) => {
    if (!(await isRootsOwn(spot.folder)))
      throw pathProblem(home, "others than root can change the folder it is to be in");
    try {
      return await fill(spot, { account, from: await unlessMissing(realpath(at(around, skeleton))) });
    } catch (cause) {
      throw new Problem("setup-write", `Cannot make the home ${home}`, { hint: hintFor(cause), cause });
    }
  });
  return [home, ...(names ?? []).map((name) => join(home, name))];
}

async function fill(
  { folder, name }: Spot,
  { account: { uid, gid }, from }: { readonly account: Account; readonly from: string | undefined },
): Promise<readonly string[]> {
  const fresh = inside(folder, `.flotilla-${name}.new`);
  await rm(fresh, { recursive: true, force: true }); // what a run left that was cut short
  await mkdir(fresh, { mode: homeMode });
  if (from !== undefined) await cp(from, fresh, { recursive: true, verbatimSymlinks: true });
  const names = await readdir(fresh, { recursive: true });
  for (const each of ["", ...names]) await lchown(join(fresh, each), uid, gid);
  await chmod(fresh, homeMode);
  await rename(fresh, inside(folder, name));
  await folder.sync();
  return names;
}
