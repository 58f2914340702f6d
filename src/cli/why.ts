/** `underway why`: asks the daemon of this node why a pod has no address, or what its pool is at. */
import { statSync } from 'node:fs';
import { request } from 'node:http';
import { DEFAULT_PLACES } from '../install/binary.ts';
import { readFlags, UNDERWAY, UsageError } from '../program/flags.ts';
import type { WhyAnswer } from '../protocol/why.ts';
import type { Command } from './command.ts';

/** Its own codes, for scripts that ask about one pod. */
const EXIT = { ok: 0, withoutAddress: 1, usage: 2, unreachable: 3 } as const;
const SOCKET = DEFAULT_PLACES.socket;
const TIMEOUT_MS = 5_000;

const HELP = `underway why [POD] [--json] [--socket PATH]

  POD        namespace/name, its name alone, or the beginning of its container's id; without it: the state of the whole pool
  --json     the daemon's answer with all its numbers
  --socket   the daemon's socket; default ${SOCKET}

Exit codes: 0 the pod has an address (or no pod was named), 1 it waits, was refused, lost its address, is not as it
was wired by the last CHECK, or is not known, 2 wrong use, or several pods go by that name, 3 the daemon cannot be reached.
`;

export const why: Command = {
  summary: 'why a pod has no address, or what the pool is at',
  help: HELP,
  async run(args) {
    try {
      return await ask(args);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      process.stderr.write(`underway: ${error.message}: see ${UNDERWAY} why --help\n`);
      return EXIT.usage;
    }
  },
};

async function ask(args: readonly string[]): Promise<number> {
  const { values, positionals } = readFlags({
    args: [...args],
    allowPositionals: true,
    options: { json: { type: 'boolean' }, socket: { type: 'string', default: SOCKET } },
  });
  const [pod, ...more] = positionals;
  if (more.length > 0) throw new UsageError(`one pod at a time: ${more.join(' ')} is too much`);
  if (pod === '') throw new UsageError('the pod’s name is empty: namespace/name, or the beginning of a container id');
  const answer = await fetchAnswer(values.socket, pod);
  if ('unreachable' in answer) {
    process.stderr.write(`underway: ${answer.unreachable}\n`);
    return EXIT.unreachable;
  }
  const lines = values.json ? [JSON.stringify(answer, null, 2)] : linesOf(answer, values.socket).map(printable);
  process.stdout.write(`${lines.join('\n')}\n`);
  if (answer.status === 'ambiguous') return EXIT.usage;
  if (answer.status === 'pool') return EXIT.ok;
  const isWell = answer.status === 'has-address' && answer.refused?.by !== 'CHECK';
  return isWell ? EXIT.ok : EXIT.withoutAddress;
}

/** As the daemon says it; but commands are this program's, with the socket that it was given. */
function linesOf(answer: WhyAnswer, socket: string): readonly string[] {
  if (answer.status !== 'ambiguous') return answer.lines;
  const more = socket === SOCKET ? '' : ` --socket ${socket}`;
  const commands = answer.pods.map((pod) => `  ${UNDERWAY} why ${pod}${more}`);
  return [`${answer.pods.length} pods here go by ${answer.named}:`, ...commands];
}

/** Names and messages are others' text: what would steer the terminal, or hide a part of the line, is shown as �. */
const printable = (line: string): string => line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\u{FFFD}');

type Fetched = WhyAnswer | { readonly unreachable: string };

function fetchAnswer(socketPath: string, pod: string | undefined): Promise<Fetched> {
  const path = `/v1/why${pod === undefined ? '' : `?pod=${encodeURIComponent(pod)}`}`;
  return new Promise((resolve) => {
    const asked = request({ socketPath, path, agent: false, timeout: TIMEOUT_MS }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => {
        body += text;
      });
      response.on('end', () => resolve(parsed(body, response.statusCode ?? 0)));
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)));
    asked.on('error', (error: NodeJS.ErrnoException) => resolve({ unreachable: nextStep(error, socketPath) }));
    asked.end();
  });
}

function parsed(body: string, status: number): Fetched {
  if (status === 200) return JSON.parse(body) as WhyAnswer;
  return { unreachable: `the daemon answered ${status} to GET /v1/why: is it older than this program? ${body.trim()}` };
}

function nextStep({ code, message }: NodeJS.ErrnoException, socket: string): string {
  if (statSync(socket, { throwIfNoEntry: false })?.isSocket() === false)
    return `${socket} is no socket: --socket is the daemon’s own, such as ${SOCKET}`;
  const last = 'see its log: `kubectl logs -n kube-system` of this node’s pod, or `journalctl -u underwayd`';
  if (code === 'ENOENT') return `no daemon listens at ${socket}: is it started, and is --socket right? ${last}`;
  if (code === 'ECONNREFUSED') return `the daemon at ${socket} is gone and left its socket: start it again; ${last}`;
  if (code === 'EACCES' || code === 'EPERM') return `${socket} is root's: run this as root`;
  return `the daemon at ${socket} cannot be asked (${message}): ${last}`;
}
