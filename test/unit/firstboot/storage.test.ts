import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { factsNeeded } from "../../../agent/firstboot/firstboot.ts";
import { plan, read, stepOf } from "./machine.ts";

suite("mounts", () => {
  const cases: readonly (readonly [fields: string, line: string])[] = [
    ["/dev/vdb, /data", "/dev/vdb /data auto defaults,nofail 0 2"],
    ["/dev/vdb, /data, ext4, defaults", "/dev/vdb /data ext4 defaults,nofail 0 2"],
    ["/dev/vdb, /data, ext4, 'noatime,nofail'", "/dev/vdb /data ext4 noatime,nofail 0 2"],
    ["/dev/vdb, /data, ext4, noauto", "/dev/vdb /data ext4 noauto 0 2"],
    ["'nas:/x', /data, nfs, 'ro,_netdev'", "nas:/x /data nfs ro,_netdev 0 2"],
    ["/dev/vdb, /, ext4, defaults", "/dev/vdb / ext4 defaults 0 2"],
    ["/dev/vdc, none, swap, sw", "/dev/vdc none swap sw,nofail 0 2"],
  ];
  for (const [fields, line] of cases)
    test(`a missing disk stops no boot: ${fields}`, async () => {
      const planned = await plan(`mounts: [[${fields}]]`);
      const step = stepOf(planned, "block /etc/fstab");
      assert.deepEqual(step.kind === "block" ? step.lines : [], [line]);
      const isAdded = !fields.includes("nofail") && fields.split(",").length > 3 && line.includes("nofail");
      assert.equal(
        planned.notices.some(({ problem }) => problem.code === "boot-mount-nofail"),
        isAdded,
      );
    });

  const missing = async (yaml: string, paths: readonly string[] = []): Promise<readonly string[]> =>
    (await plan(yaml, { facts: { paths: new Set(paths) } })).notices
      .filter(({ problem }) => problem.code === "boot-mount-device")
      .map(({ problem }) => problem.message);

  test("a disk that is not there is named beforehand", async () => {
    const yaml = "mounts: [[LABEL=data, /data], [/dev/vdc, /more], [tmpfs, /x, tmpfs], ['nas:/x', /y, nfs]]";
    const said = "Cannot find the disk LABEL=data, which is to be mounted on /data";
    assert.deepEqual(await missing(yaml, ["/dev/vdc"]), [said]);
    assert.deepEqual(await missing(yaml, ["/dev/vdc", "/dev/disk/by-label/data"]), []);
    assert.deepEqual(await missing(`bootcmd: [mkfs /dev/vdc]\n${yaml}`), []);
    const { paths } = factsNeeded(await read(yaml), undefined);
    assert.ok(paths.includes("/dev/disk/by-label/data") && paths.includes("/dev/vdc"));
  });
});
