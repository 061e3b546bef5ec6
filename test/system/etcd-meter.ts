// What clients ask of an etcd and what goes over its wire, counted by etcd itself, for tests and the bench.

export interface EtcdFigures {
  /** Requests by their gRPC method (`Range`, `Txn`, `LeaseKeepAlive`, `Watch`, ...); none without any. */
  readonly requests: ReadonlyMap<string, number>;
  readonly puts: number;
  readonly deletes: number;
  /** Changes told to watchers. */
  readonly events: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** Since it started. `url`: one member's client URL. */
export async function readFigures(url: string): Promise<EtcdFigures> {
  const text = await (await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
  const requests = new Map<string, number>();
  for (const [, method = "", count] of text.matchAll(
    /^grpc_server_msg_received_total\{grpc_method="(\w+)".*\} (\S+)$/gm,
  )) {
    if (Number(count) > 0) requests.set(method, (requests.get(method) ?? 0) + Number(count));
  }
  const value = (name: string): number => {
    const match = new RegExp(`^${name} (\\S+)$`, "m").exec(text);
    if (match === null) throw new Error(`etcd does not tell ${name}`);
    return Number(match[1]);
  };
  return {
    requests,
    puts: value("etcd_mvcc_put_total"),
    deletes: value("etcd_mvcc_delete_total"),
    events: value("etcd_debugging_mvcc_events_total"),
    bytesIn: value("etcd_network_client_grpc_received_bytes_total"),
    bytesOut: value("etcd_network_client_grpc_sent_bytes_total"),
    cpuSeconds: value("process_cpu_seconds_total"),
    residentBytes: value("process_resident_memory_bytes"),
  };
}

/** What happened between two readings; the memory is the later's. */
export function between(before: EtcdFigures, after: EtcdFigures): EtcdFigures {
  const requests = new Map<string, number>();
  for (const [method, count] of after.requests) {
    const more = count - (before.requests.get(method) ?? 0);
    if (more > 0) requests.set(method, more);
  }
  return {
    requests,
    puts: after.puts - before.puts,
    deletes: after.deletes - before.deletes,
    events: after.events - before.events,
    bytesIn: after.bytesIn - before.bytesIn,
    bytesOut: after.bytesOut - before.bytesOut,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    residentBytes: after.residentBytes,
  };
}

export function allRequests({ requests }: EtcdFigures): number {
  return [...requests.values()].reduce((sum, count) => sum + count, 0);
}
