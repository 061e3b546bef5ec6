// The contract of a discovery store, held by the fake that the tests of joining use.
import { createClock } from "../../agent/adapters/clock.ts";
import { FakeToken, unreachableStore } from "../fakes/fake-discovery.ts";
import { discoveryContract } from "./discovery.ts";

discoveryContract(
  "fake",
  { skip: false },
  {
    token: async () => new FakeToken(createClock(), "3"),
    absent: async () => new FakeToken(createClock()).connect(),
    unreachable: async () => {
      const token = new FakeToken(createClock(), "3");
      token.trouble = unreachableStore();
      return token.connect();
    },
  },
);
