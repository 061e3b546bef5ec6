import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  type ServiceAnswer,
  type ServiceAsk,
  type ServiceState,
  answerService,
  emptyService,
  expireTokens,
  maxTokens,
} from "../../../agent/discovery/service.ts";

const token = "0123456789abcdef0123456789abcdef";
const nowMs = 1_000;
const make = (size = "3"): ServiceAsk => ({ kind: "new", token, size, nowMs });
const register = (id: string, value: string, more: Partial<{ onlyNew: boolean }> = {}): ServiceAsk => ({
  kind: "register",
  token,
  id,
  value,
  onlyNew: true,
  nowMs: 2_000,
  ...more,
});

function after(...asks: readonly ServiceAsk[]): { state: ServiceState; answers: readonly ServiceAnswer[] } {
  const answers: ServiceAnswer[] = [];
  let state = emptyService;
  for (const ask of asks) {
    const answered = answerService(state, ask);
    state = answered.state;
    answers.push(answered.answer);
  }
  return { state, answers };
}

/** Status and error code or action, and the cause: `201 create`, `403 481 Member 1 has the name a: a=http://a:1`. */
function told(answer: ServiceAnswer | undefined): string {
  if (answer === undefined) return "nothing";
  if (answer.kind === "wait") return "wait";
  const body = answer.body as { action?: string; errorCode?: number; cause?: string };
  return [answer.status, body.action ?? body.errorCode, body.cause].filter((part) => part !== undefined).join(" ");
}

const cases: readonly (readonly [name: string, asks: readonly ServiceAsk[], last: string])[] = [
  ["a token is made", [make()], "201 set"],
  ["not twice", [make(), make()], `412 105 /${token}`],
  ...["0", "-1", "10", "abc", "", "03", "1.5"].map(
    (size) => [`size "${size}" is refused`, [make(size)], "400 209 A cluster has 1 to 9 members"] as const,
  ),
  ["an unknown token", [{ kind: "list", token, wait: undefined }], `404 100 /${token}`],
  ["an unknown token's size", [{ kind: "size", token }], `404 100 /${token}`],
  ["registering with an unknown token", [register("1", "a=http://a:1")], `404 100 /${token}`],
  ["a member registers", [make(), register("1", "a=http://a:1")], "201 create"],
  [
    "the same member again",
    [make(), register("1", "a=http://a:1"), register("1", "a=http://a:1")],
    `412 105 /${token}/1`,
  ],
  [
    "nothing is overwritten",
    [make(), register("1", "a=http://a:1", { onlyNew: false })],
    "403 403 Ask with prevExist=false; nothing of a token is overwritten",
  ],
  [
    "a name that is taken",
    [make(), register("1", "a=http://a:1"), register("2", "a=http://b:1")],
    "403 481 Member 1 has the name a: a=http://a:1",
  ],
  [
    "a URL that is taken, written otherwise",
    [make(), register("1", "a=http://a:80"), register("2", "b=http://A/")],
    "403 481 Member 1 has the URL http://a: a=http://a:80",
  ],
  [
    "one that comes too late",
    [make("1"), register("1", "a=http://a:1"), register("2", "b=http://b:1")],
    "403 480 All 1 members of this token have registered",
  ],
  ...[
    "http://a:1",
    "a=",
    "=http://a:1",
    "a=ftp://a:1",
    "a=http://a:1,b=http://b:1",
    "a b=http://a:1",
    "a=http://a:1/x",
  ].map(
    (value) =>
      [
        `"${value}" is no member`,
        [make(), register("1", value)],
        "400 209 A member is NAME=URL or NAME=URL1,NAME=URL2, of at most 2048 characters",
      ] as const,
  ),
  [
    "an id that is none",
    [make(), register("XYZ", "a=http://a:1")],
    "400 209 A member id is 1 to 16 lowercase hex digits",
  ],
  ["waiting for the first to come", [make(), { kind: "list", token, wait: { from: 2 } }], "wait"],
  [
    "waiting for what has come",
    [make(), register("1", "a=http://a:1"), { kind: "list", token, wait: { from: 2 } }],
    "200 create",
  ],
  [
    "waiting beyond what has come",
    [make(), register("1", "a=http://a:1"), { kind: "list", token, wait: { from: 3 } }],
    "wait",
  ],
  [
    "waiting for another member's entry",
    [make(), register("1", "a=http://a:1"), { kind: "entry", token, id: "2", wait: { from: 1 } }],
    "wait",
  ],
  ["a token is forgotten", [make(), { kind: "forget", token }, { kind: "size", token }], `404 100 /${token}`],
];

suite("discovery service", () => {
  for (const [name, asks, last] of cases) test(name, () => assert.equal(told(after(...asks).answers.at(-1)), last));

  test("a listing has etcd's shape, and hides the size", () => {
    const { answers } = after(
      make(),
      register("8e74b26da8206f8d", "a=http://a:1,a=http://a:2"),
      { kind: "list", token, wait: undefined },
      { kind: "size", token },
    );
    assert.deepEqual(
      answers.slice(2).map((answer) => (answer.kind === "json" ? answer.body : answer)),
      [
        {
          action: "get",
          node: {
            key: `/${token}`,
            dir: true,
            nodes: [
              {
                key: `/${token}/8e74b26da8206f8d`,
                value: "a=http://a:1,a=http://a:2",
                modifiedIndex: 2,
                createdIndex: 2,
              },
            ],
            modifiedIndex: 1,
            createdIndex: 1,
          },
        },
        { action: "get", node: { key: `/${token}/_config/size`, value: "3", modifiedIndex: 1, createdIndex: 1 } },
      ],
    );
  });

  test("the answer to one that is too late names the members", () => {
    const { answers } = after(make("1"), register("1", "a=http://a:1"), register("2", "b=http://b:1"));
    const last = answers.at(-1);
    assert.match(JSON.stringify(last), /a=http:\/\/a:1/);
  });

  test("a refusal changes nothing", () => {
    const { state } = after(make(), register("1", "a=http://a:1"));
    for (const ask of [make(), register("1", "a=http://a:1"), register("2", "a=http://c:1"), register("3", "")])
      assert.equal(answerService(state, ask).state, state);
  });

  test("no more tokens than are kept", () => {
    let state = emptyService;
    for (let at = 0; at < maxTokens; at++)
      ({ state } = answerService(state, { kind: "new", token: at.toString(16).padStart(32, "0"), size: "3", nowMs }));
    assert.equal(told(answerService(state, make()).answer), "403 403 This service keeps 1000 tokens");
  });

  test("tokens expire: a formed one soon, one that stayed open late", () => {
    const lifetimes = { formedMs: 100, openMs: 10_000 };
    const open = after(make(), register("1", "a=http://a:1")).state;
    const formed = after(make("1"), register("1", "a=http://a:1")).state;
    const left = (state: ServiceState, at: number): number => expireTokens(state, at, lifetimes).tokens.size;
    assert.deepEqual([left(open, 11_000), left(open, 11_001)], [1, 0]);
    assert.deepEqual([left(formed, 2_100), left(formed, 2_101)], [1, 0]);
    assert.equal(expireTokens(open, 11_000, lifetimes), open);
  });
});
