/** The kubelet's side of CRI: gRPC on the runtime's socket. What may hang has a deadline, as the kubelet's calls have. */
import { join } from 'node:path';
import { Client, credentials, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const PROTO = loadSync(join(import.meta.dirname, 'cri.proto'), { keepCase: true, defaults: true, enums: String });
/** kubelet: two minutes, and four for a sandbox. Whatever takes as long here has failed. */
const DEADLINE_MS = 60_000;
/** A runtime that restarts is there again in a moment; by itself the client would wait for up to two minutes. */
const RECONNECT = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 500 };

export interface SandboxConfig {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly namespace: string;
    readonly attempt: number;
  };
  readonly hostname: string;
  readonly log_directory: string;
  readonly port_mappings: readonly {
    readonly protocol: 'TCP' | 'UDP';
    readonly container_port: number;
    readonly host_port: number;
  }[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: { readonly cgroup_parent: string };
}

export type SandboxState = 'SANDBOX_READY' | 'SANDBOX_NOTREADY';

interface Methods {
  readonly Version: [Nothing, { readonly runtime_name: string; readonly runtime_version: string }];
  readonly RunPodSandbox: [{ readonly config: SandboxConfig }, { readonly pod_sandbox_id: string }];
  readonly StopPodSandbox: [{ readonly pod_sandbox_id: string }, Nothing];
  readonly RemovePodSandbox: [{ readonly pod_sandbox_id: string }, Nothing];
  readonly PodSandboxStatus: [
    { readonly pod_sandbox_id: string; readonly verbose: boolean },
    {
      readonly status: {
        readonly state: SandboxState;
        readonly network: { readonly ip: string; readonly additional_ips: readonly { readonly ip: string }[] };
      };
      readonly info: Readonly<Record<string, string>>;
    },
  ];
  readonly ListPodSandbox: [
    Nothing,
    { readonly items: readonly { readonly id: string; readonly state: SandboxState }[] },
  ];
  readonly Status: [Nothing, { readonly status: { readonly conditions: readonly Condition[] } }];
  readonly ListImages: [Nothing, { readonly images: readonly { readonly repo_tags: readonly string[] }[] }];
}

type Nothing = Readonly<Record<string, never>>;

export interface Condition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface SandboxStatus {
  readonly state: SandboxState;
  /** The first, and those that CRI calls additional. */
  readonly addresses: readonly string[];
  /** Path of the sandbox's network namespace. */
  readonly netns: string;
}

export class Cri {
  readonly #client: Client;

  constructor(socket: string) {
    this.#client = new Client(`unix://${socket}`, credentials.createInsecure(), RECONNECT);
  }

  async isUp(): Promise<boolean> {
    return this.version().then(
      () => true,
      () => false,
    );
  }

  async version(): Promise<string> {
    const { runtime_name, runtime_version } = await this.#call('Version', {}, { deadlineMs: 1_000 });
    return `${runtime_name} ${runtime_version}`;
  }

  /** Its id. With a deadline the call is given up then, which the runtime is told. */
  async run(config: SandboxConfig, deadlineMs = DEADLINE_MS): Promise<string> {
    return (await this.#call('RunPodSandbox', { config }, { deadlineMs })).pod_sandbox_id;
  }

  async stop(id: string): Promise<void> {
    await this.#call('StopPodSandbox', { pod_sandbox_id: id });
  }

  async remove(id: string): Promise<void> {
    await this.#call('RemovePodSandbox', { pod_sandbox_id: id });
  }

  async status(id: string): Promise<SandboxStatus> {
    const { status, info } = await this.#call('PodSandboxStatus', { pod_sandbox_id: id, verbose: true });
    const { state, network } = status;
    const addresses = [network.ip, ...network.additional_ips.map(({ ip }) => ip)].filter((ip) => ip !== '');
    return { state, addresses, netns: netnsIn(info.info ?? '{}') };
  }

  /** Their ids, each with its state. */
  async list(): Promise<ReadonlyMap<string, SandboxState>> {
    const { items } = await this.#call('ListPodSandbox', {});
    return new Map(items.map(({ id, state }) => [id, state]));
  }

  async networkReady(): Promise<Condition> {
    const { status } = await this.#call('Status', {});
    const condition = status.conditions.find(({ type }) => type === 'NetworkReady');
    if (condition === undefined) throw new Error('the runtime says nothing of NetworkReady');
    return condition;
  }

  async images(): Promise<readonly string[]> {
    return (await this.#call('ListImages', {})).images.flatMap(({ repo_tags }) => repo_tags);
  }

  close(): void {
    this.#client.close();
  }

  #call<M extends keyof Methods>(
    name: M,
    request: Methods[M][0],
    { deadlineMs = DEADLINE_MS } = {},
  ): Promise<Methods[M][1]> {
    const { path, requestSerialize, responseDeserialize } = methodNamed<Methods[M][0], Methods[M][1]>(name);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest<Methods[M][0], Methods[M][1]>(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error, answer) => (answer === undefined ? reject(error) : resolve(answer)),
      );
    });
  }
}

function methodNamed<Request, Answer>(name: keyof Methods): MethodDefinition<Request, Answer> {
  for (const service of ['RuntimeService', 'ImageService']) {
    const definition = PROTO[`runtime.v1.${service}`];
    if (definition !== undefined && name in definition) {
      return (definition as Record<string, unknown>)[name] as MethodDefinition<Request, Answer>;
    }
  }
  throw new Error(`CRI has no ${name}`);
}

interface SandboxInfo {
  readonly runtimeSpec?: {
    readonly linux?: { readonly namespaces?: readonly { readonly type: string; readonly path?: string }[] };
  };
}

function netnsIn(info: string): string {
  const { runtimeSpec }: SandboxInfo = JSON.parse(info);
  return runtimeSpec?.linux?.namespaces?.find(({ type }) => type === 'network')?.path ?? '';
}
