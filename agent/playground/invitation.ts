// What a newcomer is invited to try, as commands that can be copied as they stand. Given to playground.ts only.
import type { PlaygroundCluster, PlaygroundMachine } from "../ports/playground.ts";

/** `command` is how flotilla is called, ready for a shell, e.g. `node /opt/flotilla/dist/main.js`. No line is folded. */
export function invitation(command: string, { repository, machines }: PlaygroundCluster): string {
  const first = machines[0];
  const victim = machines.at(-1);
  if (first === undefined || victim === undefined) return "";
  const third =
    machines.length > 1
      ? "Kill a machine, watch its units move, and switch it on again"
      : "Kill the machine, and switch it on again: its units come back";
  return `
The API of each machine is HTTP on a unix socket; curl, for one, speaks it:

${machines.map(apiLine).join("\n")}

Three things to try in another terminal, as the same user. First say there what
and where flotilla is:

  flotilla() { ${command} "$@"; }
  export FLOTILLA_SOCKET=${first.socket}
  cd ${repository}

1. Scale out: commit a new symlink, and watch it placed

  ln -s ../templates/web@.service instances/web@4.service
  git add -A && git commit -m "One more web"

2. Deploy: commit a changed template; its instances restart where they are

  sed -i 's/^Description=.*/Description=Second edition/' templates/web@.service
  git commit -am "Second edition"

3. ${third}

  flotilla playground kill ${victim.name}
  flotilla playground start ${victim.name}

flotilla status and flotilla list-units --watch show the cluster at any time.
What changes is told below. Ctrl-C ends it and leaves nothing behind.
`;
}

function apiLine({ name, socket }: PlaygroundMachine): string {
  return `  curl --unix-socket ${socket} http://${name}/v2/units`;
}
