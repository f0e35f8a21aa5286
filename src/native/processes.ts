/** Integers and texts that the processes of a job share (libtorch's TCPStore): one process serves, all connect. */
export interface NativeStore {
  readonly port: number;
  /** Adds to an integer that begins at 0, as one step for all processes; gives the sum. Fails with PROCESS_LOST. */
  add(key: string, amount: number): Promise<number>;
  /** Texts, each set once. Fail with PROCESS_LOST. */
  set(key: string, text: string): Promise<void>;
  /** undefined where the text is not there yet. */
  find(key: string): Promise<string | undefined>;
  /** Ends the connection, and the store where this process serves it. */
  dispose(): void;
}

export interface NativeStoreOptions {
  host: string;
  /** 0 with `serve`: one that is free. */
  port: number;
  /** This process holds the values. A client must know that the port answers (native/core/store.h). */
  serve: boolean;
  timeout_ms: number;
}

/** Processes that exchange tensors (native/core/process_group.h). */
export interface NativeProcessGroup {
  /** Ends the connections once running work has ended. */
  dispose(): void;
}

export interface NativeProcessGroupOptions {
  /** Tells groups over one store apart. */
  name: string;
  rank: number;
  size: number;
  /** cpu: Gloo; cuda:N: NCCL. */
  device: string;
  /** Gloo's network interface; empty: that of the machine's name. */
  interface: string;
  /** All processes are on this machine. */
  loopback: boolean;
  timeout_ms: number;
}
