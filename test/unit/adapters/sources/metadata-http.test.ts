import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { suite, test, type TestContext } from "node:test";
import { createMetadataHttp, type HttpAsk, withoutSecrets } from "../../../../agent/adapters/sources/metadata-http.ts";
import { explainError, Problem } from "../../../../agent/domain/problem.ts";
import { quickClock, serve, type Service } from "../../../fakes/metadata-service.ts";

const usual = "http://169.254.169.254/";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

async function asking(t: TestContext, handler: Handler, ask: Partial<HttpAsk> = {}) {
  const service = await serve(t, handler);
  const stop = new AbortController();
  const retries: string[] = [];
  const http = createMetadataHttp({
    clock: quickClock,
    signal: stop.signal,
    connect: { "169.254.169.254:80": service.place, "user-data.example:80": service.place },
    onRetry: (why) => retries.push(why),
  });
  return { service, retries, stop, answer: http.ask({ url: usual, ...ask }) };
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Problem, `it should be refused, not ${String(error)}`);
  return `${error.code}: ${explainError(error)}`;
}

/** Nothing of us is left at the server. */
async function noneOpen(service: Service): Promise<void> {
  for (let tries = 0; (await service.connections()) > 0; tries++) {
    assert.ok(tries < 200, "a connection is left");
    await quickClock.sleep(100);
  }
}

suite("metadata over HTTP", () => {
  test("an answer, and the name of the service in the question", async (t) => {
    const { service, answer } = await asking(t, (request, response) => {
      assert.equal(request.headers.host, "169.254.169.254");
      assert.equal(request.headers["accept-encoding"], "identity");
      response.end("hello");
    });
    const got = await answer;
    assert.equal(got.kind === "answered" && got.body.toString(), "hello");
    await noneOpen(service);
  });

  test("4xx is no such thing, and is asked once", async (t) => {
    const { service, answer } = await asking(t, (_request, response) => void response.writeHead(404).end("no"));
    const { kind, ...rest } = await answer;
    assert.deepEqual([kind, rest], ["refused", { url: usual, status: 404, why: `${usual} answered 404` }]);
    assert.equal(service.asked.length, 1);
  });

  const passing = [
    ["500", (response: ServerResponse) => response.writeHead(500).end()],
    ["429", (response: ServerResponse) => response.writeHead(429).end()],
    ["a broken connection", (response: ServerResponse) => response.destroy()],
    [
      "half a body",
      (response: ServerResponse) =>
        response.writeHead(200, { "content-length": "9" }).write("half", () => response.destroy()),
    ],
  ] as const;
  for (const [name, break_] of passing)
    test(`${name} is tried again`, async (t) => {
      let tries = 0;
      const { retries, answer } = await asking(t, (_request, response) => {
        tries += 1;
        if (tries <= 2) break_(response);
        else response.end("fine");
      });
      const got = await answer;
      assert.equal(got.kind === "answered" && got.body.toString(), "fine");
      assert.equal(retries.length, 2);
    });

  test("a service that never gets well is given back to the search after 15 tries", async (t) => {
    const { service, answer } = await asking(t, (_request, response) => void response.writeHead(503).end());
    assert.equal(await refusal(answer), `source-later: Cannot read ${usual}: it answered 503`);
    assert.equal(service.asked.length, 15);
  });

  test("a status that means certain absence is not tried again", async (t) => {
    const { answer } = await asking(t, (_request, response) => void response.writeHead(501).end(), {
      absentStatuses: [501],
    });
    assert.equal((await answer).kind, "refused");
  });

  for (const status of [301, 302, 307, 308])
    test(`${status} is not followed`, async (t) => {
      const { service, answer } = await asking(
        t,
        (_request, response) => void response.writeHead(status, { location: "/other" }).end(),
      );
      assert.equal(
        await refusal(answer),
        `source-unfit: Cannot read ${usual}: it answered ${status}, which leads elsewhere`,
      );
      assert.deepEqual(service.asked, ["GET /"]);
    });

  test("an endless body is left", async (t) => {
    const { service, answer } = await asking(
      t,
      (_request, response) => {
        const more = (): void => {
          while (response.write("x".repeat(65_536)));
        };
        response.on("drain", more);
        more();
      },
      { mostBytes: 1000 },
    );
    assert.equal(await refusal(answer), `source-unfit: Cannot read ${usual}: it is longer than 1000 bytes`);
    await noneOpen(service);
  });

  test("a body of just the length that is allowed is read", async (t) => {
    const { answer } = await asking(t, (_request, response) => void response.end("x".repeat(1000)), {
      mostBytes: 1000,
    });
    const got = await answer;
    assert.equal(got.kind === "answered" && got.body.length, 1000);
  });

  test("a body that drips is left after ten seconds in all", async (t) => {
    const { service, answer, stop } = await asking(
      t,
      (_request, response) => {
        const timer = setInterval(() => response.write("x"), 20);
        response.on("close", () => clearInterval(timer));
      },
      { mostTries: 1 },
    );
    assert.equal(await refusal(answer), `source-later: Cannot reach ${usual}: no whole answer within 10 s`);
    await noneOpen(service);
    stop.abort();
  });

  test("an abort ends it at once and leaves no connection", async (t) => {
    const { service, answer, stop } = await asking(t, () => undefined);
    while (service.asked.length === 0) await quickClock.sleep(10);
    const reason = new Error("enough");
    stop.abort(reason);
    await assert.rejects(answer, reason);
    await noneOpen(service);
  });

  test("variables that name a proxy mean nothing", async (t) => {
    const proxy = await serve(t, (_request, response) => void response.end("from the proxy"));
    const before = { ...process.env };
    t.after(() => (process.env = before));
    for (const name of ["http_proxy", "HTTP_PROXY", "all_proxy"]) process.env[name] = `http://${proxy.place}`;
    const { answer } = await asking(t, (_request, response) => void response.end("from the service"));
    const got = await answer;
    assert.equal(got.kind === "answered" && got.body.toString(), "from the service");
    assert.deepEqual(proxy.asked, []);
  });

  const places = [
    ["http://10.0.0.1/", false, "Cannot ask http://10.0.0.1/: it is not a link-local address"],
    ["http://metadata.example/", false, "Cannot ask http://metadata.example/: it is not a link-local address"],
    ["http://[2001:db8::1]/", false, "Cannot ask http://[2001:db8::1]/: it is not a link-local address"],
    ["https://169.254.169.254/", false, "Cannot ask https://169.254.169.254/: it is not plain http"],
    ["ftp://user-data.example/", true, "Cannot ask ftp://user-data.example/: it is not http or https"],
    ["http://a b/", true, "Cannot read the address http://a b/"],
    ["http://me:se/cret@a b/?token=1", true, "Cannot read the address http://a b/"],
  ] as const;
  for (const [url, isNamed, message] of places)
    test(`${url} is refused${isNamed ? " though it was named" : ""}`, async (t) => {
      const { service, answer } = await asking(t, (_request, response) => void response.end(), { url, isNamed });
      assert.equal(await refusal(answer), `source-unfit: ${message}`);
      assert.deepEqual(service.asked, []);
    });

  test("a place that the operator named may be anywhere, with a password that nobody is shown", async (t) => {
    let authorization: string | undefined;
    const { answer } = await asking(
      t,
      (request, response) => {
        ({ authorization } = request.headers);
        response.writeHead(404).end();
      },
      { url: "http://me:p%40ss@user-data.example/a?token=1", isNamed: true },
    );
    const got = await answer;
    assert.equal(got.kind === "refused" && got.why, "http://user-data.example/a answered 404");
    assert.equal(authorization, `Basic ${Buffer.from("me:p@ss").toString("base64")}`);
  });

  test("of several places of one service the one that answers is told", async (t) => {
    const { answer } = await asking(t, (_request, response) => void response.end(), {
      url: ["http://[fe80::a9fe:a9fe%nowhere0]/", "http://[fd00:ec2::254]/", usual],
    });
    assert.equal((await answer).url, usual);
  });

  test("what may be shown of a URL", () => {
    assert.equal(withoutSecrets("https://a:b@host:8/p/q?x=y#z"), "https://host:8/p/q");
    assert.equal(withoutSecrets("http://host/a@b"), "http://host/a@b");
  });
});
