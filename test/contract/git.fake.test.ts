// The fake keeps the contract of the real one.
import { FakeRepository, FakeStore } from "../fakes/fake-git.ts";
import { gitContract } from "./git.ts";

gitContract("fake", async () => {
  const repository = new FakeRepository();
  const store = new FakeStore();
  return {
    open: () => repository.open({ store, folder: "units" }),
    commit: async (files, message) =>
      repository.commit(files, message === undefined ? {} : { subject: message.split("\n")[0]! }),
    reset: async (commit) => repository.reset(commit),
    breakRemote: async () => {
      repository.fault = { kind: "unreachable" };
    },
    restore: async () => {
      repository.fault = undefined;
    },
    close: async () => undefined,
  };
});
