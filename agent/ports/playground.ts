// What the playground asks of the world: a folder of its own, a repository to commit to, machines with an agent each.

export interface PlaygroundMachine {
  /** m1, m2, ... */
  readonly name: string;
  /** Its machine id, as its agent publishes it. */
  readonly id: string;
  /** Path of its agent's API socket. */
  readonly socket: string;
  /** Whether it is switched on. */
  readonly running: boolean;
  /** The process whose death is the machine's; undefined while it is off. */
  readonly pid: number | undefined;
}

export interface PlaygroundOptions {
  /** 1 to 9. */
  readonly machines: number;
  /** A real etcd and one process for each agent. */
  readonly etcd: boolean;
}

/** A cluster on this computer. Rejections are Problems that say what is missing and how to get it. */
export interface PlaygroundCluster {
  /** The working copy to commit to; its branch is what the machines pull. */
  readonly repository: string;
  readonly machines: readonly PlaygroundMachine[];
  /** Cuts a machine's power: its systemd, units and agent end at once, without a word to the others. */
  kill(name: string): Promise<void>;
  /** Switches a killed machine on again, with the disk that it had. */
  start(name: string): Promise<void>;
  /** Calls `listener` when a machine has gone down, whoever did it. Returns the way to stop. */
  onChange(listener: () => void): () => void;
  /** Ends everything; nothing is left: no process, no mount, no file. */
  close(): Promise<void>;
}

export interface PlaygroundWorld {
  /**
   * Makes the folder and the repository, starts the registry and all machines. `progress` is called with each step in
   * words. Rejects with "playground-running" when one is running already.
   */
  open(options: PlaygroundOptions, progress: (step: string) => void, signal: AbortSignal): Promise<PlaygroundCluster>;
  /** Socket on which a running playground takes orders. */
  readonly controlSocket: string;
  /** Takes orders on `controlSocket` until closed. */
  serveControl(cluster: PlaygroundCluster): Promise<{ close(): Promise<void> }>;
}
