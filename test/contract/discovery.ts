// What every store of a discovery token holds to: the fake, our own service and etcd of versions 2 and 3.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { Problem } from "../../agent/domain/problem.ts";
import type { DiscoveryStore } from "../../agent/ports/discovery.ts";

export interface MadeToken {
  /** Connections to a new token of size 3; each call gives one of its own. */
  connect(): DiscoveryStore;
}

export interface StoreMaker {
  /** A token that exists. */
  token(): Promise<MadeToken>;
  /** A token that was never made. */
  absent(): Promise<DiscoveryStore>;
  /** A store that is not there. */
  unreachable(): Promise<DiscoveryStore>;
}

const longMs = 20_000;

export function discoveryContract(name: string, options: { readonly skip: false | string }, make: StoreMaker): void {
  suite(`contract of a discovery store: ${name}`, options, () => {
    const never = new AbortController().signal;
    const entry = { id: "8e74b26da8206f8d", value: "m1=http://10.0.0.1:2380" };

    test("a token that was never made is absent", async () => {
      assert.deepEqual(await (await make.absent()).look(never), { kind: "absent" });
    });

    test("a new token has its size and no entries", async () => {
      const look = await (await make.token()).connect().look(never);
      assert.ok(look.kind === "token");
      assert.equal(look.size, "3");
      assert.deepEqual(look.entries, []);
    });

    test("an entry is made once, and keeps its value", async () => {
      const token = await make.token();
      assert.deepEqual(await token.connect().register(entry, never), { kind: "created" });
      assert.deepEqual(await token.connect().register({ ...entry, value: "m9=http://10.0.0.1:2380" }, never), {
        kind: "exists",
      });
      const look = await token.connect().look(never);
      assert.ok(look.kind === "token");
      assert.deepEqual(
        look.entries.map(({ id, value }) => ({ id, value })),
        [entry],
      );
    });

    test("of many who register one id at once, one makes it", async () => {
      const token = await make.token();
      const results = await Promise.all(Array.from({ length: 5 }, () => token.connect().register(entry, never)));
      assert.equal(results.filter(({ kind }) => kind === "created").length, 1);
    });

    test("entries have an order, that of their registration, and several URLs", async () => {
      const token = await make.token();
      const store = token.connect();
      const values = ["m2=http://10.0.0.2:2380", "m3=http://10.0.0.3:1,m3=http://10.0.0.3:2"];
      await store.register({ id: "ff", value: values[0] ?? "" }, never);
      await store.register({ id: "1", value: values[1] ?? "" }, never);
      const look = await store.look(never);
      assert.ok(look.kind === "token");
      const inOrder = [...look.entries].sort((a, b) => a.order - b.order);
      assert.deepEqual(
        inOrder.map(({ id, value }) => [id, value]),
        [
          ["ff", values[0]],
          ["1", values[1]],
        ],
      );
      assert.ok((inOrder[0]?.order ?? 0) < (inOrder[1]?.order ?? 0));
    });

    test("news wake whoever waits, also news from between look and wait", async () => {
      const token = await make.token();
      const store = token.connect();
      const look = await store.look(never);
      assert.ok(look.kind === "token");
      const waiting = store.changed({ revision: look.revision, mostMs: longMs }, never);
      const beganMs = performance.now();
      await token.connect().register(entry, never);
      await waiting;
      // What came after the look has come already
      await store.changed({ revision: look.revision, mostMs: longMs }, never);
      assert.ok(performance.now() - beganMs < longMs / 2, "the news did not wake it");
    });

    test("without news the wait ends in time", async () => {
      const store = (await make.token()).connect();
      const look = await store.look(never);
      assert.ok(look.kind === "token");
      const beganMs = performance.now();
      await store.changed({ revision: look.revision, mostMs: 100 }, never);
      assert.ok(performance.now() - beganMs < longMs / 2);
    });

    test("waiting can be given up", async () => {
      const store = (await make.token()).connect();
      const over = new AbortController();
      const waiting = store.changed({ revision: 1_000_000, mostMs: longMs }, over.signal);
      over.abort();
      await assert.rejects(waiting, hasCode("aborted"));
    });

    test("a store that is not there is unreachable", async () => {
      const store = await make.unreachable();
      await assert.rejects(store.look(never), hasCode("discovery-unreachable"));
      await assert.rejects(store.register(entry, never), hasCode("discovery-unreachable"));
    });

    test("what people see does not hold the token", async () => {
      assert.match((await make.token()).connect().shown, /\.\.\./);
    });
  });
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof Problem, String(error));
    assert.equal(error.code, code);
    return true;
  };
}
