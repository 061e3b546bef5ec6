// The doorway between an HTTP application (api/) and the socket that carries it (adapters/api-server.ts).

export interface ApiHandler {
  /** Answers one request. Never rejects: whatever goes wrong is an answer. */
  handle(request: Request): Promise<Response>;
  /** Ends every event stream, and refuses new ones: the server is about to close. */
  endStreams(): void;
}

export interface ApiServer {
  /** Path of the unix socket. */
  readonly socket: string;
  /** Takes no new request, ends streams, gives running requests a moment, then cuts them off; removes the socket. */
  close(): Promise<void>;
}

export interface TcpServer {
  /** The port that it listens on. */
  readonly port: number;
  /** As that of the unix socket. */
  close(): Promise<void>;
}
