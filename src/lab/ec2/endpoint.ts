/**
 * EC2's Query API over the memory cloud, for any EC2 client: HTTP POST of a form, or GET.
 *
 * Invariants: one write an answer (two would cost a client with Nagle's delay 40 ms); a request is checked before the
 * model hears of it; a lost answer is a broken connection after the work was done, never an error; an address that was
 * answered is delivered.
 * Signatures are not verified: the lab has no secrets to verify them with. That there is one is checked.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { MemoryCloud } from '../../../providers/memory/cloud.ts';
import type { Clock } from '../../ports/clock.ts';
import { callerOf } from '../imds/role.ts';
import { ACTIONS } from './actions.ts';
import { Ec2Error, NoAnswer } from './ec2-error.ts';
import { Pages } from './pages.ts';
import { parseQuery, type QueryNode } from './query.ts';
import { Session } from './session.ts';
import { errorXml, successXml } from './xml.ts';

/** 200 filter values of 1 kB each fit four times. */
const BODY_LENGTH_MAX = 1_048_576;
const VERSION = '2016-11-15';

export interface Ec2EndpointOptions {
  readonly cloud: MemoryCloud;
  /** The cloud's own clock for `nowMs`; `wallMs` dates what it answers. */
  readonly clock: Pick<Clock, 'nowMs' | 'wallMs'>;
  readonly region: string;
  /** Resolves when what the cloud has done so far is true for packets, where there are any. */
  readonly settled?: () => Promise<void>;
}

/** An HTTP server that is not listening yet: `server.listen(port, host)`, or `{fd}` of a socket in a namespace. */
export function createEc2Endpoint(options: Ec2EndpointOptions): Server {
  const pages = new Pages();
  return createServer(async (request, response) => {
    const requestId = randomUUID();
    try {
      const parameters = await parametersOf(request);
      const { accessKey, query } = authenticate(parameters, request);
      const { name, action } = actionOf(query);
      const session = new Session({ ...options, pages, caller: callerOf(accessKey, options.cloud) });
      const elements = await action.run(query, session);
      await options.settled?.();
      answer(response, { status: 200, requestId, body: successXml(name, requestId, elements) });
    } catch (error) {
      if (error instanceof NoAnswer) {
        if (!error.silent) request.socket.resetAndDestroy();
        return;
      }
      const { code, status, message } = error instanceof Ec2Error ? error : internalError(error);
      answer(response, { status, requestId, body: errorXml(code, message, requestId) });
    }
  });
}

function answer(
  response: ServerResponse,
  { status, requestId, body }: { readonly status: number; readonly requestId: string; readonly body: string },
): void {
  response
    .writeHead(status, {
      'content-type': 'text/xml;charset=UTF-8',
      'content-length': Buffer.byteLength(body),
      'x-amzn-requestid': requestId,
    })
    .end(body);
}

/** A defect of the lab, shown where it happens: to whoever called. */
const internalError = (error: unknown): Ec2Error => new Ec2Error('InternalError', `The lab failed: ${error}`, 500);

async function parametersOf(request: IncomingMessage): Promise<QueryNode> {
  const [path, ...rest] = (request.url ?? '/').split('?');
  const search = rest.join('?');
  if (path !== '/') throw new Ec2Error('InvalidRequest', `There is nothing at ${path}`, 404);
  if (request.method === 'GET') return parseQuery(search);
  if (request.method !== 'POST') throw new Ec2Error('InvalidRequest', `${request.method} is not supported`, 405);
  let body = '';
  let length = 0;
  // What is too long is read to its end, so that the client hears the answer, but not kept.
  for await (const chunk of request.setEncoding('utf8')) {
    length += chunk.length;
    if (length <= BODY_LENGTH_MAX) body += chunk;
  }
  if (length > BODY_LENGTH_MAX) throw new Ec2Error('RequestEntityTooLarge', 'The request is too large', 413);
  return parseQuery(search === '' ? body : `${search}&${body}`);
}

/** Parameters of a signed URL (Signature Version 4 and 2), which are not the action's. */
const SIGNATURE_PARAMETER =
  /^(?:X-Amz-.*|AWSAccessKeyId|Signature|SignatureMethod|SignatureVersion|SecurityToken|Timestamp|Expires)$/i;

/** Whose access key signed, and the parameters without the signature's. */
function authenticate(query: QueryNode, request: IncomingMessage): { accessKey: string; query: QueryNode } {
  const children = new Map([...query.children].filter(([name]) => !SIGNATURE_PARAMETER.test(name)));
  const signed = query.children.get('X-Amz-Credential')?.text ?? query.children.get('AWSAccessKeyId')?.text;
  const accessKey = /Credential=([^/\s,]+)\//.exec(request.headers.authorization ?? '')?.[1] ?? signed?.split('/')[0];
  if (accessKey !== undefined && accessKey !== '') return { accessKey, query: { children } };
  throw new Ec2Error('MissingAuthenticationToken', 'Request is missing Authentication Token', 403);
}

function actionOf(query: QueryNode) {
  const name = query.children.get('Action')?.text;
  const version = query.children.get('Version')?.text;
  if (name === undefined)
    throw new Ec2Error('MissingAction', 'The request is missing an action or a required parameter');
  if (version === undefined) throw new Ec2Error('MissingParameter', 'The request must contain the parameter Version');
  if (version !== VERSION)
    throw new Ec2Error('NoSuchVersion', `The requested version (${version}) of service AmazonEC2 does not exist`);
  const action = ACTIONS.get(name);
  if (action === undefined)
    throw new Ec2Error('InvalidAction', `The action ${name} is not valid for this web service.`);
  query.children.delete('Action');
  query.children.delete('Version');
  return { name, action };
}
