// git's tree objects, from whoever has made the commit: bytes that git itself would write, or nothing.
import { parseTree } from "../../../agent/adapters/git/tree.ts";
import { Problem } from "../../../agent/domain/problem.ts";
import { type Target, mustHold } from "../target.ts";

const modes = { tree: "40000", file: "100644", link: "120000", submodule: "160000" } as const;

export const target: Target = {
  name: "git-tree",
  reads: "git's tree objects",
  maxBytes: 128 * 1024,
  words: [
    "100644 ",
    "100755 ",
    "40000 ",
    "120000 ",
    "160000 ",
    "web.service\0",
    "..\0",
    ".git\0",
    "a/b\0",
    "\0",
    "x".repeat(20),
  ],
  run(input) {
    let items: ReturnType<typeof parseTree>;
    try {
      items = parseTree(Buffer.from(input));
    } catch (error) {
      // Its caller makes a damaged store of it
      mustHold(error instanceof Error && error.message.startsWith("A tree object "), `its own words: ${String(error)}`);
      return { outcome: "refused", problems: [new Problem("git-damaged", error.message)] };
    }
    for (const { name } of items) mustHold(!/^\.{0,2}$|\//.test(name), `a name within one folder: ${name}`);
    const written = Buffer.concat(
      items.map(({ name, kind, oid }) =>
        Buffer.concat([Buffer.from(`${modes[kind]} ${name}\0`), Buffer.from(oid, "hex")]),
      ),
    );
    const again = parseTree(written);
    mustHold(JSON.stringify(again) === JSON.stringify(items), "what was read is written and read the same");
    return { outcome: items.length === 0 ? "empty" : "taken", problems: [] };
  },
};
