/**
 * The lab's control socket: HTTP and JSON, for the CLI and for `curl --unix-socket`.
 * GET /status; POST /break and /heal with `{"fault": "deny:node-2"}`; POST /kill and /restart with `{"node": "node-2"}`;
 * POST /shutdown, answered before the end begins.
 */
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { basename } from 'node:path';
import type { ArmedFault } from './fault.ts';
import { labCommand } from './options.ts';
import { type LabFolder, labsBeside } from './state-folder.ts';
import type { LabStatus } from './status.ts';

const BODY_LENGTH_MAX = 4_096;
const ASK_TIMEOUT_MS = 60_000;

/** What the socket can ask of a lab. */
export interface Controlled {
  readonly folder: LabFolder;
  status(): Promise<LabStatus>;
  break(asked: string): Promise<ArmedFault>;
  heal(asked?: string): number;
  kill(node: string): Promise<unknown>;
  restart(node: string): Promise<unknown>;
  close(): Promise<unknown>;
}

const servers = new WeakMap<Controlled, Server>();

export async function openControl(lab: Controlled): Promise<void> {
  const server = createServer(async (request, response) => {
    let status = 200;
    let body: unknown;
    try {
      body = await answer(lab, request);
      if (body === undefined) status = 404;
    } catch (error) {
      status = error instanceof RangeError || error instanceof SyntaxError ? 400 : 500;
      body = { error: Error.isError(error) ? error.message : String(error) };
    }
    const text = JSON.stringify(body ?? { error: 'GET /status, POST /break, /heal, /kill, /restart, /shutdown' });
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
    response.end(text);
  });
  servers.set(lab, server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(lab.folder.control, resolve);
  });
}

export async function closeControl(lab: Controlled): Promise<void> {
  const server = servers.get(lab);
  if (server === undefined) return;
  servers.delete(lab);
  await new Promise((resolve) => {
    server.close(resolve);
    server.closeIdleConnections();
  });
  rmSync(lab.folder.control, { force: true });
}

/** Undefined for what there is no answer to. */
async function answer(lab: Controlled, message: IncomingMessage): Promise<unknown> {
  switch (`${message.method} ${message.url}`) {
    case 'GET /status':
      return lab.status();
    case 'POST /break': {
      const { name, what, heal } = await lab.break(needed('fault', await textIn(message, 'fault')));
      return { name, what, lasts: heal !== undefined };
    }
    case 'POST /heal':
      return { healed: lab.heal(await textIn(message, 'fault')) };
    case 'POST /kill':
      return lab.kill(needed('node', await textIn(message, 'node')));
    case 'POST /restart':
      return lab.restart(needed('node', await textIn(message, 'node')));
    case 'POST /shutdown':
      setImmediate(() => process.kill(process.pid, 'SIGTERM'));
      return { shutdown: true };
    default:
      return undefined;
  }
}

/** What the body says under the key; undefined where it says nothing. */
async function textIn(message: IncomingMessage, key: string): Promise<string | undefined> {
  let text = '';
  for await (const chunk of message.setEncoding('utf8')) {
    text += chunk;
    if (text.length > BODY_LENGTH_MAX) throw new RangeError('the body is too long');
  }
  const body: unknown = text === '' ? {} : JSON.parse(text);
  const value = typeof body === 'object' && body !== null ? Reflect.get(body, key) : undefined;
  if (value !== undefined && typeof value !== 'string') throw new RangeError(`${key} must be a text`);
  return value;
}

function needed(key: string, value: string | undefined): string {
  if (value === undefined) throw new RangeError(`the body must be {"${key}": "<name>"}`);
  return value;
}

/** Rejects with the lab's own sentence, or with one that says that no lab is up. */
export function askControl(
  folder: LabFolder,
  asked: { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: unknown },
): Promise<unknown> {
  const { method, path, body } = asked;
  const name = basename(folder.path);
  return new Promise((resolve, reject) => {
    const call = request(
      { socketPath: folder.control, method, path, agent: false, timeout: ASK_TIMEOUT_MS },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () => {
          const said = JSON.parse(text) as { readonly error?: string };
          if (response.statusCode === 200) resolve(said);
          else reject(new Error(said.error ?? `the lab answered ${response.statusCode}`));
        });
        response.on('error', reject);
      },
    );
    call.on('timeout', () => call.destroy(new Error('the lab does not answer')));
    call.on('error', (error) => {
      const code = 'code' in error ? error.code : '';
      reject(
        code === 'ENOENT' || code === 'ECONNREFUSED'
          ? new Error(`no lab ${name} is up: ${labCommand('up', name)}${othersText(folder)}`)
          : error,
      );
    });
    call.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Which ones are up instead. */
function othersText(folder: LabFolder): string {
  const up = labsBeside(folder);
  return up.length === 0 ? '' : ` (up: ${up.map((other) => `--name ${other}`).join(', ')})`;
}
