import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { bytesInWords, cpusInWords } from "../../../agent/text/amounts.ts";

suite("amounts", () => {
  const sizes: readonly (readonly [number, string])[] = [
    [0, "0"],
    [1023, "1023"],
    [1024, "1K"],
    [1.5 * 1024 ** 3, "1.5G"],
    [512 * 1024 ** 2, "512M"],
    [3 * 1024 ** 5, "3072T"],
  ];
  for (const [bytes, words] of sizes) test(`${bytes} bytes`, () => assert.equal(bytesInWords(bytes), words));

  test("what is to be freed is never said too small", () => {
    assert.equal(bytesInWords(1024 ** 2 + 1, Math.ceil), "1.1M");
    assert.deepEqual([cpusInWords(1_501), cpusInWords(1_501, Math.ceil)], ["1.5", "1.51"]);
  });
});
