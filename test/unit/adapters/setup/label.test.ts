// SELinux labels of what was written, set by a program that is not there, works, fails or is cut short.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { type Labelling, label } from "../../../../agent/adapters/setup/label.ts";
import { Problem } from "../../../../agent/domain/problem.ts";

const never = new AbortController().signal;

function programs(fault?: Problem): { readonly asked: string[]; readonly programs: Labelling["programs"] } {
  const asked: string[] = [];
  return {
    asked,
    programs: {
      find: async () => "/usr/sbin/restorecon",
      must: async (argv) => {
        asked.push(argv.join(" "));
        if (fault !== undefined) throw fault;
        return { status: 0, out: "", all: "" };
      },
    },
  };
}

suite("labels", () => {
  test("are set for all paths at once", async () => {
    const fake = programs();
    assert.equal(await label(["/etc/a", "/etc/b"], { programs: fake.programs, signal: never }), undefined);
    assert.deepEqual(fake.asked, ["restorecon -- /etc/a /etc/b"]);
  });

  test("that cannot be set are a warning with its cause and what to do", async () => {
    const fault = new Problem("program-failed", "Cannot run restorecon: it ended with status 1");
    const warning = await label(["/etc/a"], { programs: programs(fault).programs, signal: never });
    assert.deepEqual(
      [warning?.code, warning?.message, warning?.hint, warning?.cause],
      [
        "setup-label",
        "Cannot set the SELinux labels of /etc/a",
        "Programs may be kept from it until they are set: restorecon -v -- /etc/a",
        fault,
      ],
    );
  });

  test("are left when the boot is told to end", async () => {
    const fault = new Problem("aborted", "Cannot go on");
    const cut = label(["/etc/a"], { programs: programs(fault).programs, signal: AbortSignal.abort() });
    await assert.rejects(cut, { code: "aborted" });
  });

  test("without the program nobody is asked", async () => {
    const fake = { ...programs().programs, find: async () => undefined };
    assert.equal(await label(["/etc/a"], { programs: fake, signal: never }), undefined);
  });
});
