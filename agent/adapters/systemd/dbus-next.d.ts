// Types of the two inner files of dbus-next that peer.ts uses; the package describes only its front door.
declare module "dbus-next/lib/connection.js" {
  import type { EventEmitter } from "node:events";
  import type { Socket } from "node:net";
  import type { Message } from "dbus-next/lib/message-type.js";

  interface Connection extends EventEmitter {
    readonly stream: Socket;
    message(message: Message): void;
  }
  export default function createConnection(options: { busAddress: string; authMethods: readonly string[] }): Connection;
}

declare module "dbus-next/lib/message-type.js" {
  export class Message {
    constructor(fields: {
      serial: number;
      destination?: string;
      path: string;
      interface: string;
      member: string;
      signature: string;
      body: readonly unknown[];
    });
    readonly type: 1 | 2 | 3 | 4;
    readonly path: string | undefined;
    readonly interface: string | undefined;
    readonly member: string | undefined;
    readonly errorName: string | undefined;
    readonly replySerial: number | undefined;
    readonly signature: string;
    readonly body: readonly unknown[];
  }
}
