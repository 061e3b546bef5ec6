import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Channel, EtcdStream, Sent } from "../../../agent/adapters/registry/etcd-channel.ts";
import { Endpoint } from "../../../agent/adapters/registry/etcd-endpoint.ts";
import { CallFailed, grpc } from "../../../agent/adapters/registry/etcd-errors.ts";
import { FakeClock, settled } from "../../fakes/fake-clock.ts";

const sent: Sent = { service: "KV", method: "range", request: {}, token: undefined };
const silent = new CallFailed(grpc.deadlineExceeded, "No answer in time");
const dead = new CallFailed(grpc.unavailable, "connect ECONNREFUSED");

/** An endpoint on a channel of the test's own: `fault` is what calls and checks come to, `checks` and `closes` are counted. */
class Bench {
  readonly clock = new FakeClock();
  fault: Error | undefined;
  checks = 0;
  opens = 0;
  closes = 0;
  readonly cancelled: string[] = [];
  /** Calls wait for it. */
  gate: Promise<void> = Promise.resolve();
  readonly endpoint = new Endpoint({
    url: "http://a:2379",
    clock: this.clock,
    open: async () => Promise.resolve(this.#channel()),
    ask: async (endpoint) => {
      this.checks++;
      await endpoint.callToCheck(sent, 0);
    },
  });

  #channel(): Channel {
    this.opens++;
    const answer = async (): Promise<unknown> => {
      await this.gate;
      if (this.fault !== undefined) throw this.fault;
      return {};
    };
    const open = async ({ method }: Sent): Promise<EtcdStream> => {
      await answer();
      return { next: answer, cancel: () => this.cancelled.push(method) };
    };
    return { call: answer, open, close: () => this.closes++ };
  }

  async call(): Promise<string> {
    return this.endpoint.call(sent, 0).then(
      () => "answered",
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  }
}

suite("one endpoint", () => {
  test("it is good once it has answered a check, and not before", async () => {
    const bench = new Bench();
    assert.equal(bench.endpoint.isGood, false);
    await Promise.all([bench.endpoint.check(), bench.endpoint.check()]);
    assert.equal(bench.endpoint.isGood, true);
    assert.equal(bench.checks, 1, "one check for both");
  });

  test("a refusal is an answer; no connection is none", async () => {
    for (const [fault, isGood] of [
      [new CallFailed(grpc.permissionDenied, "etcdserver: permission denied"), true],
      [new CallFailed(grpc.invalidArgument, "etcdserver: user name is empty"), true],
      [dead, false],
      [new CallFailed(grpc.deadlineExceeded, "No answer in time"), false],
      [new Error("no such file"), false],
    ] as const) {
      const bench = new Bench();
      bench.fault = fault;
      await bench.endpoint.check().catch(() => undefined);
      assert.equal(bench.endpoint.isGood, isGood, fault.message);
    }
  });

  test("after a fault it is checked at once, then after rests that grow to half a minute", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    bench.fault = dead;
    await bench.call();
    await settled();
    assert.equal(bench.endpoint.isGood, false);
    assert.deepEqual([bench.checks], [2]);
    const rests: number[] = [];
    for (let restedMs = 0; rests.length < 6; restedMs += 1_000) {
      const before = bench.checks;
      bench.endpoint.checkWhenRested();
      await settled();
      if (bench.checks > before) {
        rests.push(restedMs);
        restedMs = 0;
      }
      await bench.clock.advance(1_000);
    }
    assert.deepEqual(
      rests.slice(1).map((ms) => ms / 1_000),
      [4, 8, 16, 30, 30],
    );
    bench.fault = undefined;
    await bench.clock.advance(30_000);
    bench.endpoint.checkWhenRested();
    await settled();
    assert.equal(bench.endpoint.isGood, true);
  });

  test("a request that etcd refuses says nothing against it", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    bench.fault = new CallFailed(grpc.invalidArgument, "etcdserver: too many operations");
    assert.match(await bench.call(), /too many operations/);
    assert.equal(bench.endpoint.isGood, true);
  });

  test("a stream that breaks is a fault, one that was cancelled is none", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    const [one, two] = [await bench.endpoint.open(sent), await bench.endpoint.open(sent)];
    bench.fault = dead;
    one.cancel();
    await assert.rejects(one.next());
    assert.equal(bench.endpoint.isGood, true);
    await assert.rejects(two.next());
    assert.equal(bench.endpoint.isGood, false);
  });

  test("streams of an endpoint that failed its check are ended on request only", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    await bench.endpoint.open(sent);
    bench.endpoint.letGoIfSilent();
    assert.deepEqual(bench.cancelled, []);
    bench.fault = dead;
    await assert.rejects(bench.endpoint.check());
    assert.deepEqual(bench.cancelled, []);
    bench.endpoint.letGoIfSilent();
    assert.deepEqual(bench.cancelled, ["range"]);
  });

  test("an answer that comes after all makes it good, and its streams go on", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    await bench.endpoint.open(sent);
    bench.fault = dead;
    await assert.rejects(bench.endpoint.check());
    bench.endpoint.pass();
    assert.equal(bench.endpoint.isGood, true);
    bench.endpoint.letGoIfSilent();
    assert.deepEqual(bench.cancelled, []);
    bench.endpoint.retire();
    bench.endpoint.pass();
    assert.equal(bench.endpoint.isGood, false);
  });

  test("a connection on which nothing is answered for 4 s is given up, with its streams, and the next check makes another", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    await bench.endpoint.open(sent);
    bench.fault = silent;
    for (const [closes, waitMs] of [
      [0, 2_000],
      [0, 1_900],
      [0, 200],
      [1, 2_000],
      [1, 0],
    ] as const) {
      await assert.rejects(bench.endpoint.check());
      await settled();
      assert.equal(bench.closes, closes);
      await bench.clock.advance(waitMs);
    }
    assert.deepEqual(bench.cancelled, ["range"]);
    assert.equal(bench.opens, 2);
  });

  test("an answer that is late counts: the connection stays", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    for (let round = 0; round < 5; round++) {
      bench.fault = silent;
      await assert.rejects(bench.endpoint.check());
      await bench.clock.advance(3_000);
      await assert.rejects(bench.endpoint.check());
      bench.endpoint.pass();
      bench.fault = undefined;
      await bench.call();
    }
    assert.deepEqual([bench.opens, bench.closes], [1, 0]);
  });

  test("a connection that is still being made, be it anew, has 10 s for it", async () => {
    const bench = new Bench();
    for (const before of [undefined, dead]) {
      bench.closes = 0;
      if (before !== undefined) {
        bench.fault = undefined;
        await bench.endpoint.check();
        bench.fault = before;
        await assert.rejects(bench.endpoint.check());
      }
      bench.fault = silent;
      for (let second = 0; second <= 9; second++) {
        await assert.rejects(bench.endpoint.check());
        bench.endpoint.letGoIfSilent();
        await settled();
        assert.equal(bench.closes, 0, `after ${second} s`);
        await bench.clock.advance(1_000);
      }
      await assert.rejects(bench.endpoint.check());
      await settled();
      assert.equal(bench.closes, 1);
    }
  });

  test("without any connection it is left to gRPC to make one, until another endpoint is good", async () => {
    const bench = new Bench();
    bench.fault = dead;
    for (let second = 0; second <= 30; second++) {
      await assert.rejects(bench.endpoint.check());
      await bench.clock.advance(1_000);
    }
    assert.deepEqual([bench.opens, bench.closes], [1, 0]);
    bench.endpoint.letGoIfSilent();
    bench.endpoint.letGoIfSilent();
    await settled();
    assert.equal(bench.closes, 1);
    bench.fault = undefined;
    await bench.endpoint.check();
    assert.deepEqual([bench.opens, bench.endpoint.isGood], [2, true]);
  });

  test("of another cluster it is not good, whatever it answers, until an answer names ours", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    await bench.call();
    bench.endpoint.disown();
    bench.fault = new CallFailed(grpc.invalidArgument, "etcdserver: user name is empty");
    for (let second = 0; second < 60; second++) {
      bench.endpoint.checkWhenRested();
      await bench.clock.advance(1_000);
      assert.equal(bench.endpoint.isGood, false);
    }
    assert.equal(bench.checks, 2, "one at the start, one after half a minute");
    bench.endpoint.own();
    await bench.endpoint.check();
    assert.equal(bench.endpoint.isGood, true);
  });

  test("retired, it closes when the calls under way are over, and is never good again", async () => {
    const bench = new Bench();
    await bench.endpoint.check();
    let open: () => void = () => undefined;
    bench.gate = new Promise((resolve) => (open = resolve));
    const call = bench.call();
    bench.endpoint.retire();
    await settled();
    assert.equal(bench.closes, 0);
    open();
    assert.equal(await call, "answered");
    await settled();
    assert.equal(bench.closes, 1);
    await bench.endpoint.check();
    assert.equal(bench.endpoint.isGood, false);
  });
});
