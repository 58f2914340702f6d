/**
 * A Kubernetes API server as far as pods go, over real HTTP: watches with bookmarks, which begin with what there is where
 * they are asked for from 0; field selectors, metadata alone where it is asked for, history that is forgotten. It rejects
 * what the real one rejects, and can be told to misbehave; lists it has none. For the bench too: `new ApiServer()`, `await listen()`, `kubeconfigIn(folder)`, `bind(...)`.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';

export interface PodSpec {
  readonly name: string;
  readonly node: string;
  readonly namespace?: string;
  readonly hostNetwork?: boolean;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface Pod {
  readonly metadata: Record<string, unknown> & {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
  };
  readonly spec: { readonly nodeName: string; readonly hostNetwork?: boolean };
  readonly status: { readonly phase: string };
}

interface Stored {
  readonly version: number;
  readonly before: Pod | undefined;
  readonly after: Pod | undefined;
}

interface Watch {
  readonly response: ServerResponse;
  readonly selects: (pod: Pod) => boolean;
  readonly form: (pod: Pod) => object;
}

type Asked = { readonly query: URLSearchParams; readonly token: string | undefined };

export class ApiServer {
  /** What was asked for, in order. */
  readonly asked: Asked[] = [];
  /** Answers the next requests instead, in order: an HTTP status, or how they go wrong. */
  readonly mishaps: (number | 'reset' | 'silent')[] = [];
  private readonly pods = new Map<string, Pod>();
  private readonly history: Stored[] = [];
  private readonly watches = new Set<Watch>();
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;
  version = 1_000;
  private forgotten = 0;
  private uids = 0;
  private readonly isTls: boolean;

  constructor(tls?: { readonly cert: string; readonly key: string }) {
    const listener: RequestListener = (request, response) => this.answer(request, response);
    this.isTls = tls !== undefined;
    this.server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
    this.server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  async listen(port = 0): Promise<number> {
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
    return this.port;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    if (!this.server.listening) return;
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
    await once(this.server, 'close');
  }

  /** Writes a kubeconfig for this server into the folder; answers its path. */
  kubeconfigIn(
    folder: string,
    user: Readonly<Record<string, unknown>> = {},
    cluster: Readonly<Record<string, unknown>> = {},
  ): string {
    const server = `${this.isTls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
    const path = join(folder, 'kubeconfig');
    const trust = this.isTls ? {} : { 'insecure-skip-tls-verify': true };
    writeFileSync(
      path,
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [{ name: 'c', cluster: { server, ...trust, ...cluster } }],
        users: [{ name: 'u', user }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
    return path;
  }

  /** The scheduler binds a new pod; answers its uid. */
  bind({ name, node, namespace = 'default', hostNetwork, annotations }: PodSpec): string {
    const uid = `uid-${++this.uids}`;
    this.put({
      metadata: { ...LIFELIKE, namespace, name, uid, ...(annotations && { annotations }) },
      spec: { nodeName: node, ...(hostNetwork && { hostNetwork }) },
      status: { phase: 'Pending' },
    });
    return uid;
  }

  finish(name: string, phase: 'Running' | 'Succeeded' | 'Failed', namespace = 'default'): void {
    this.put({ ...this.pod(namespace, name), status: { phase } });
  }

  /** Somebody asks for its deletion: it ends in its own time. */
  markDeleted(name: string, namespace = 'default'): void {
    const pod = this.pod(namespace, name);
    this.put({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } });
  }

  remove(name: string, namespace = 'default'): void {
    this.store(this.pod(namespace, name), undefined);
  }

  /** What happened until now is not in the history any more: who did not hear of it is answered 410. */
  forget(): void {
    this.version++;
    this.forgotten = this.version;
    this.history.length = 0;
  }

  /** Something else of the cluster happened: tells it to those who watch, as the real one does once a minute. */
  bookmark(): void {
    this.version++;
    const metadata = { resourceVersion: String(this.version), creationTimestamp: null };
    for (const { response } of this.watches) write(response, { type: 'BOOKMARK', object: { kind: 'Pod', metadata } });
  }

  get watching(): number {
    return this.watches.size;
  }

  /** Ends the watches as their time-out does. */
  endWatches(): void {
    for (const { response } of this.watches) response.end();
    this.watches.clear();
  }

  /** Cuts their connections. */
  cut(): void {
    for (const { response } of this.watches) response.destroy();
    this.watches.clear();
  }

  /** What happens from now on is told to nobody, though their connections stand. */
  hang(): void {
    this.watches.clear();
  }

  /** Sends these bytes to those who watch. */
  babble(text: string): void {
    for (const { response } of this.watches) response.write(text);
  }

  private pod(namespace: string, name: string): Pod {
    const pod = this.pods.get(`${namespace}/${name}`);
    if (pod === undefined) throw new Error(`there is no pod ${namespace}/${name}`);
    return pod;
  }

  private put(pod: Pod): void {
    this.store(this.pods.get(`${pod.metadata.namespace}/${pod.metadata.name}`), pod);
  }

  private store(before: Pod | undefined, after: Pod | undefined): void {
    const { metadata } = after ?? before ?? { metadata: { namespace: '', name: '' } };
    const version = ++this.version;
    const versioned = (pod: Pod | undefined) =>
      pod && { ...pod, metadata: { ...pod.metadata, resourceVersion: String(version) } };
    const stored = { version, before: versioned(before), after: versioned(after) };
    if (stored.after === undefined) this.pods.delete(`${metadata.namespace}/${metadata.name}`);
    else this.pods.set(`${metadata.namespace}/${metadata.name}`, stored.after);
    this.history.push(stored);
    for (const watch of this.watches) send(watch, stored);
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://server');
    const query = url.searchParams;
    this.asked.push({ query, token: request.headers.authorization?.replace(/^Bearer /, '') });
    const mishap = this.mishaps.shift();
    if (mishap === 'reset') return void request.socket.destroy();
    if (mishap === 'silent') return;
    if (mishap !== undefined) return refuse(response, mishap, 'as told to');
    if (url.pathname !== '/api/v1/pods')
      return refuse(response, 404, 'the server could not find the requested resource');
    const selects = selectorIn(query.get('fieldSelector') ?? '');
    if (typeof selects === 'string') return refuse(response, 400, selects);
    const isPartial = request.headers.accept?.includes('as=PartialObjectMetadata') === true;
    const form = (pod: Pod) =>
      isPartial ? { kind: 'PartialObjectMetadata', metadata: pod.metadata } : { kind: 'Pod', ...pod };
    if (query.get('watch') !== 'true') return refuse(response, 501, 'lists are not played here');
    this.openWatch(query, { response, selects, form });
  }

  private openWatch(query: URLSearchParams, watch: Watch): void {
    const { response } = watch;
    const from = Number(query.get('resourceVersion'));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    if (from === 0) this.state(watch);
    else if (from < this.forgotten) {
      const object = { kind: 'Status', code: 410, message: `too old resource version: ${from}` };
      write(response, { type: 'ERROR', object });
      return void response.end();
    } else for (const stored of this.history) if (stored.version > from) send(watch, stored);
    this.watches.add(watch);
    response.on('close', () => this.watches.delete(watch));
  }

  /** What there is, by name: the versions come in no order. */
  private state(watch: Watch): void {
    for (const [, pod] of [...this.pods].sort()) send(watch, { version: 0, before: undefined, after: pod });
  }
}

/** As much as a pod of a Deployment has: the larger part is who manages which field. */
const LIFELIKE = {
  creationTimestamp: '2026-01-01T00:00:00Z',
  labels: { app: 'shop', 'pod-template-hash': '5d8c7b9f6c' },
  ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'shop-5d8c7b9f6c', uid: 'r', controller: true }],
  managedFields: ['kube-controller-manager', 'kubelet'].map((manager) => ({
    manager,
    operation: 'Update',
    apiVersion: 'v1',
    fieldsType: 'FieldsV1',
    fieldsV1: Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`f:field-${n}`, { '.': {}, 'f:value': {} }])),
  })),
};

function send({ response, selects, form }: Watch, { before, after }: Stored): void {
  const was = before !== undefined && selects(before);
  const is = after !== undefined && selects(after);
  const pod = is ? after : before;
  if (pod === undefined || !(was || is)) return;
  write(response, { type: !is ? 'DELETED' : was ? 'MODIFIED' : 'ADDED', object: form(pod) });
}

const write = (response: ServerResponse, event: object): void => void response.write(`${JSON.stringify(event)}\n`);

function refuse(response: ServerResponse, code: number, message: string): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ kind: 'Status', status: 'Failure', code, message }));
}

const FIELDS: Readonly<Record<string, (pod: Pod) => string>> = {
  'spec.nodeName': ({ spec }) => spec.nodeName,
  'spec.hostNetwork': ({ spec }) => String(spec.hostNetwork === true),
  'status.phase': ({ status }) => status.phase,
};

/** A sentence where the real one knows no such field either. */
function selectorIn(text: string): ((pod: Pod) => boolean) | string {
  const terms =
    text === '' ? [] : text.split(',').map((term) => /^([^!=]+)(!?=)(.*)$/.exec(term) ?? [term, term, '=', '']);
  for (const [, field = ''] of terms) if (FIELDS[field] === undefined) return `field label not supported: ${field}`;
  return (pod) => terms.every(([, field = '', sign, value]) => (FIELDS[field]?.(pod) === value) === (sign === '='));
}
