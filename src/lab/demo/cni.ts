/**
 * The runtime's side of CNI: runs the plugin's binary as containerd does, one process a verb.
 */
import { spawn } from 'node:child_process';

export interface CniPod {
  readonly name: string;
  readonly containerId: string;
  /** Path of the pod's network namespace. */
  readonly netns: string;
  /** `eth0` without it. */
  readonly ifname?: string;
}

export interface CniPlugin {
  /** The binary. */
  readonly binary: string;
  readonly network: string;
  /** What the runtime adds for capabilities. */
  readonly runtimeConfig?: object;
}

export interface CniError {
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

export interface CniAnswer {
  readonly ok: boolean;
  /** Exec to exit. */
  readonly ms: number;
  /** The result's addresses, without their lengths. */
  readonly addresses: readonly string[];
  readonly error?: CniError;
}

/** How long a verb may take: kubelet gives a sandbox four minutes. */
const TIMEOUT_MS = 120_000;

/** `signal` kills the plugin, which otherwise asks for its daemon until its own deadline. */
export function runCni(
  { binary, network, runtimeConfig }: CniPlugin,
  verb: 'ADD' | 'DEL',
  { signal, ...pod }: CniPod & { readonly signal?: AbortSignal },
): Promise<CniAnswer> {
  const config = JSON.stringify({ cniVersion: '1.0.0', name: network, type: 'underway', runtimeConfig });
  const beganMs = performance.now();
  const child = spawn(binary, [], {
    timeout: TIMEOUT_MS,
    ...(signal && { signal }),
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: pod.netns,
      CNI_IFNAME: pod.ifname ?? 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=${pod.name};K8S_POD_UID=${pod.containerId}`,
    },
  });
  let output = '';
  let complaint = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    complaint += data;
  });
  // The plugin may answer before it has read its configuration (a bad environment).
  child.stdin.on('error', () => {});
  child.stdin.end(config);
  return new Promise((resolve, reject) => {
    child.on('error', (error) => signal?.aborted || reject(error));
    child.on('close', (code) => resolve(answerOf(code, output, complaint, performance.now() - beganMs)));
  });
}

function answerOf(code: number | null, output: string, complaint: string, ms: number): CniAnswer {
  if (code === 0) return { ok: true, ms, addresses: addressesIn(output) };
  const parsed: unknown = output.startsWith('{') ? JSON.parse(output) : undefined;
  const error = isCniError(parsed) ? parsed : { code: code ?? -1, msg: complaint || output || 'the plugin was killed' };
  return { ok: false, ms, addresses: [], error };
}

const isCniError = (value: unknown): value is CniError =>
  typeof value === 'object' && value !== null && 'code' in value && 'msg' in value;

function addressesIn(output: string): string[] {
  if (output.trim() === '') return [];
  const result: { readonly ips?: readonly { readonly address: string }[] } = JSON.parse(output);
  return (result.ips ?? []).map(({ address }) => address.split('/')[0] ?? '');
}
