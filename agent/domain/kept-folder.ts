// Folders that are empty after the next boot, or no disk at all: no place for what a member of a cluster must not lose.

/** What to say of such a folder; undefined: it may be kept. `path` is absolute; doubled slashes and `.` do not hide it. */
export function whyNotKept(path: string): string | undefined {
  const plain = `/${path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/")}`;
  if (!/^\/(tmp|var\/tmp|run|var\/run|dev|proc|sys)(\/|$)/.test(plain)) return undefined;
  return "What stands there is gone at the next boot, and this member with it: take a folder that is kept";
}
