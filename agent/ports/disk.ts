// The agent's own durable files, under one directory. Names are relative, of [A-Za-z0-9@._-] parts joined by "/".

export interface Disk {
  /** The file's text, or undefined when there is none. Rejects with Problem "disk-read" when it cannot be read. */
  read(name: string): Promise<string | undefined>;
  /**
   * Writes all or nothing: temporary file, fsync, rename, fsync of the folder; mode 0600. After it resolves the text
   * survives power loss. Rejects with Problem "disk-write" and leaves the old text.
   */
  write(name: string, text: string): Promise<void>;
  remove(name: string): Promise<void>;
}
