// What a listing costs, from the command to its last line: the real API on a real socket in this process, the command in one of
// its own. Only the cluster is made up.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createApi } from "../../agent/api/api.ts";
import { serveApi } from "../../agent/adapters/api-server.ts";
import { createClock } from "../../agent/adapters/clock.ts";
import type { ClusterPicture } from "../../agent/domain/cluster.ts";
import {
  FakeCluster,
  sampleIds,
  sampleManifest,
  samplePicture,
  sampleStatus,
  sampleUnit,
} from "../fakes/fake-cluster.ts";
import { FakeHands } from "../fakes/fake-hands.ts";
import { silentLog } from "../fakes/silent-log.ts";

export interface ListingSpan {
  readonly units: number;
  readonly command: string;
  readonly spansMs: readonly number[];
}

const rounds = 10;
const listings = [["list-units"], ["list-unit-files"], ["list-units", "--json"], ["list-units", "--sort", "-since"]];

/** With so many units on three machines. `main` is the built program. */
export async function timeListings(main: string, counts: readonly number[]): Promise<readonly ListingSpan[]> {
  const folder = mkdtempSync(join(tmpdir(), "flotilla-listing-"));
  const spans: ListingSpan[] = [];
  try {
    for (const units of counts) {
      const view = new FakeCluster(pictureOf(units));
      const api = createApi({ view, hands: new FakeHands(), clock: createClock(), log: silentLog, version: "1" });
      const server = await serveApi(api, { socket: join(folder, `${units}.sock`) });
      try {
        for (const words of listings) {
          const spansMs: number[] = [];
          for (let round = 0; round < rounds; round++) spansMs.push(await timeOne([main, ...words], server.socket));
          spans.push({ units, command: words.join(" "), spansMs });
        }
      } finally {
        await server.close();
      }
    }
    return spans;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function timeOne(words: readonly string[], socket: string): Promise<number> {
  const fromMs = performance.now();
  const child = spawn(process.execPath, [...words], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { FLOTILLA_SOCKET: socket },
  });
  child.stdout.resume();
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve(performance.now() - fromMs);
      else reject(new Error(`${words.join(" ")} ended with ${code}`));
    });
  });
}

function pictureOf(count: number): ClusterPicture {
  const picture = samplePicture();
  const { desired } = picture;
  if (desired === undefined) throw new Error("The sample has units");
  const names = Array.from({ length: count }, (_, index) => `unit-${index}.service`).sort();
  const ids = [sampleIds.n1, sampleIds.n2, sampleIds.n3];
  const shares = ids.map((id, at) => [id, names.filter((_, index) => index % ids.length === at)] as const);
  return {
    ...picture,
    manifests: new Map(
      shares.map(([id, own]) => sampleManifest(id, Object.fromEntries(own.map((name) => [name, "launched"])))),
    ),
    statuses: new Map(shares.map(([id, own]) => sampleStatus(id, Object.fromEntries(own.map((name) => [name, {}]))))),
    desired: {
      ...desired,
      units: new Map(names.map((name) => sampleUnit(name)).map((unit) => [unit.name, unit])),
      templates: new Map(),
    },
  };
}
