/**
 * What the API server says of the pods of one node: a stream of changes, which begins with what there is.
 *
 * Nothing is listed. A list from the server's cache (resourceVersion=0) comes in one piece, whatever `limit` says
 * (kubernetes/kubernetes#118394), and one in pages costs etcd a read of all pods; a watch from 0 is served from the cache,
 * by every version, and one pod at a time is in memory. Where what there is ends the first bookmark tells, a minute later:
 * `sendInitialEvents`, which has it at once, is refused by many servers, and nothing here is in a hurry for it.
 *
 * The server selects: pods on the host's network and finished ones are never sent (`spec.hostNetwork` can be selected by
 * since Kubernetes 1.28), and one that finishes is sent as deleted. Of the others only the metadata is asked for, a tenth
 * of the whole.
 */
import { StringDecoder } from 'node:string_decoder';
import type { PodRef } from '../core/rows.ts';
import type { Access } from './access.ts';
import { ask, RefusedError } from './api-server.ts';

export interface FeedOptions {
  readonly access: Access;
  readonly nodeName: string;
  readonly userAgent: string;
}

/** Without a pod it is a bookmark. `isBound` is false for a pod that is being deleted, or that is sent no more. */
export interface Change {
  readonly version: string;
  readonly pod?: PodRef;
  readonly isBound?: boolean;
}

export interface Hearing {
  /** Ends the request. */
  readonly signal: AbortSignal;
  /** Something was heard; the next thing may take that long. */
  heard(limitMs: number): void;
}

/** What happened since that version cannot be known any more: what there is has to be told anew. */
export class LostError extends Error {}

/** The server sends a bookmark a minute, and three may get lost before it is taken for dead. */
const QUIET_MS_MAX = 200_000;
/** etcd holds no object of more than 1.5 MiB, if it is not told to. */
const LINE_LENGTH_MAX = 4 * 1024 * 1024;
/** Gone, and the Timeout that says "Too large resource version": from before the server's cache, or after it. */
const LOST_STATUS: readonly number[] = [410, 504];

/**
 * Hears each change after `version`, in order, until the server ends the stream, which it does after `seconds`. Without a
 * version what there is comes first, as changes in no order: until a bookmark none of their versions is one to go on from.
 */
export async function followPods(
  options: FeedOptions,
  { version, seconds }: { readonly version: string | undefined; readonly seconds: number },
  { signal, heard, opened, changed }: Hearing & { opened(): void; changed(change: Change): void },
): Promise<void> {
  const query = {
    watch: 'true',
    allowWatchBookmarks: 'true',
    resourceVersion: version ?? '0',
    timeoutSeconds: String(seconds),
  };
  const body = await askForPods(options, query, signal);
  opened();
  const decoder = new StringDecoder('utf8');
  let rest = '';
  heard(QUIET_MS_MAX);
  for await (const chunk of body) {
    heard(QUIET_MS_MAX);
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LINE_LENGTH_MAX) throw new Error(`a line of more than ${LINE_LENGTH_MAX} characters`);
    for (const line of lines) changed(read(line));
  }
}

function read(line: string): Change {
  try {
    return changeIn(line);
  } catch (error) {
    if (error instanceof LostError) throw error;
    throw new LostError(`the watch sent "${line.slice(0, 80)}"`, { cause: error });
  }
}

function askForPods(
  { access, nodeName, userAgent }: FeedOptions,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
) {
  const fieldSelector = `spec.nodeName=${nodeName},spec.hostNetwork=false,status.phase!=Succeeded,status.phase!=Failed`;
  const accept = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
  return ask(access, { path: '/api/v1/pods', query: { fieldSelector, ...query }, accept, userAgent, signal }).catch(
    (error: unknown) => {
      const isLost = error instanceof RefusedError && LOST_STATUS.includes(error.status);
      throw isLost ? new LostError(error.message) : error;
    },
  );
}

/** One line of a watch. What is no event may have been one, and an ERROR is the last. */
function changeIn(line: string): Change {
  const { type, object: sent } = objectIn(JSON.parse(line));
  const object = objectIn(sent);
  if (type === 'ERROR') throw new LostError(`the API server ended the watch: ${object.message}`);
  if (type === 'BOOKMARK') return { version: textIn(objectIn(object.metadata), 'resourceVersion') };
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED') throw new Error(`${type} is no event of a watch`);
  const { pod, version, isDeleting } = podIn(object);
  return { version, pod, isBound: type !== 'DELETED' && !isDeleting };
}

function podIn(object: Fields): { readonly pod: PodRef; readonly version: string; readonly isDeleting: boolean } {
  const metadata = objectIn(object.metadata);
  return {
    pod: { namespace: textIn(metadata, 'namespace'), name: textIn(metadata, 'name'), uid: textIn(metadata, 'uid') },
    version: textIn(metadata, 'resourceVersion'),
    isDeleting: metadata.deletionTimestamp !== undefined,
  };
}

type Fields = Readonly<Record<string, unknown>>;

function objectIn(value: unknown): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('an object is missing');
  return value as Fields;
}

function textIn(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value !== 'string' || value === '') throw new Error(`${key} is missing`);
  return value;
}
