// What a message shows of an address in which a password may stand.
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { withoutLogin } from "../../../agent/domain/shown-url.ts";

suite("addresses without what may be a password", () => {
  const cases: Readonly<Record<string, string>> = {
    "https://me:hunter2@git.example/u.git": "https://(secret)@git.example/u.git",
    "https://token@git.example/u.git": "https://(secret)@git.example/u.git",
    "https://me:a b@host/x": "https://(secret)@host/x",
    "https://me:a/b@host/x": "https://(secret)@host/x",
    "https://me:a@b@host/x": "https://(secret)@host/x",
    "https://me:a?b#c@host/x": "https://(secret)@host/x",
    "m1=http://me:a@10.0.0.1:2380": "m1=http://(secret)@10.0.0.1:2380",
    "http://a:2379,http://me:pw@b:2379": "http://(secret)@b:2379",
    "deploy:hunter2@git.example:u.git": "(secret)@git.example:u.git",
    "deploy:a@b//c@git.example:u.git": "(secret)@git.example:u.git",
    "//me@host/x": "//(secret)@host/x",
    "git@git.example:u.git": "git@git.example:u.git",
    "http://host:80/path?x=1": "http://host:80/path?x=1",
    "mail=me@x": "mail=me@x",
    "a@{b": "a@{b",
    "": "",
  };
  for (const [text, expected] of Object.entries(cases)) test(text, () => assert.equal(withoutLogin(text), expected));
});
