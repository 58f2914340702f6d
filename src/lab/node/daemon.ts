/**
 * The shipped daemon as a child process inside an instance's namespace. It is started, stopped and killed only by the
 * lab: what comes back by itself would hide what a test wants to see.
 */
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { spawnIn } from '../launch.ts';
import { type ProcessRecord, processRecord } from '../processes.ts';
import { type NodeFolder, writeJson } from '../state-folder.ts';

const inRepository = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const SHIPPED = inRepository('build/underwayd/underwayd');
const SOURCE = inRepository('src/daemon/main.ts');
/** Half of a start from source is to strip and to compile it; keyed by what is in the files, so it is never stale. */
const COMPILED = inRepository('build/compile-cache');
const READY_LIMIT_MS = 30_000;
const READY_POLL_MS = 50;
const STOP_LIMIT_MS = 10_000;

export class NodeDaemon {
  readonly folder: NodeFolder;
  readonly #netns: string;
  readonly #shipped: boolean;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  /** How the last one ended: an exit code or a signal. */
  ending: string | undefined;

  /** Throws with a sentence where the one to be `shipped` was not built. */
  constructor({
    folder,
    netns,
    shipped,
  }: { readonly folder: NodeFolder; readonly netns: string; readonly shipped: boolean }) {
    if (shipped && !existsSync(SHIPPED)) throw new Error('the node daemon is not built: run `npm run build` first');
    this.folder = folder;
    this.#netns = netns;
    this.#shipped = shipped;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** One runs already: nothing happens. `env` is over a nearly empty one; the machine's own AWS settings stay out. */
  start(env: Readonly<Record<string, string>> = {}): void {
    if (this.#child !== undefined) return;
    const program = this.#shipped ? [SHIPPED] : [process.execPath, SOURCE];
    const log = openSync(this.folder.log, 'a');
    const child = spawnIn(this.#netns, [...program, '--config', this.folder.config], {
      // A terminal's Ctrl-C is for the lab, which then stops its daemons in order.
      detached: true,
      stdio: ['ignore', log, log],
      env: { PATH: process.env.PATH, UNDERWAY_NODE: process.execPath, NODE_COMPILE_CACHE: COMPILED, ...env },
    });
    closeSync(log);
    this.#child = child;
    this.ending = undefined;
    this.#exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#child = undefined;
        this.ending = signal ?? `exit code ${code}`;
        rmSync(this.folder.pid, { force: true });
        resolve();
      });
    });
    const record: ProcessRecord | undefined = child.pid === undefined ? undefined : processRecord(child.pid);
    if (record !== undefined) writeJson(this.folder.pid, record);
  }

  /** Resolves when `/readyz` says yes; rejects with a sentence when the daemon ended or 30 s went by. */
  async ready(): Promise<void> {
    let last: { readonly status: number; readonly body: string } | undefined;
    for (let waitedMs = 0; waitedMs < READY_LIMIT_MS; waitedMs += READY_POLL_MS) {
      if (this.#child === undefined) throw new Error(`the daemon ended (${this.ending}): see ${this.folder.log}`);
      last = await this.get('/readyz');
      if (last?.status === 200) return;
      await sleep(READY_POLL_MS);
    }
    const failing = last?.body.split('\n').filter((line) => line.startsWith('[-]')) ?? ['it does not listen'];
    const late = `the daemon was not ready after ${READY_LIMIT_MS / 1_000} s`;
    throw new Error(`${late} (${failing.join(', ')}): see ${this.folder.log}`);
  }

  /** A page of the daemon's socket; undefined while nobody listens there. */
  get(path: string): Promise<{ readonly status: number; readonly body: string } | undefined> {
    return new Promise((resolve) => {
      const asked = request({ socketPath: this.folder.socket, path, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text) => {
          body += text;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
      asked.on('error', () => resolve(undefined)).end();
    });
  }

  /** SIGTERM, then SIGKILL for one that does not listen. Resolves when it is gone. */
  async stop(): Promise<void> {
    const child = this.#child;
    child?.kill('SIGTERM');
    const timer = setTimeout(() => child?.kill('SIGKILL'), STOP_LIMIT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#exited;
  }
}
