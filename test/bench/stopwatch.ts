/** How long programs take from exec to exit, started and timed by stopwatch.c: Node would measure itself. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { compile } from './programs.ts';

export interface Call {
  readonly program: string;
  readonly input: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Timed {
  /** Exec to exit. */
  readonly ms: number;
  readonly code: number;
  /** Both outputs. */
  readonly said: string;
}

export interface Batch {
  readonly calls: readonly Timed[];
  /** From the first exec to the last exit. */
  readonly wallMs: number;
}

export class Stopwatch {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(scratch: string) {
    this.#child = spawn(compile('stopwatch', scratch), { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines: Interface = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** At most 256 calls, `ways` at a time, started in the namespace. Rejects when the stopwatch ended. */
  async run(
    calls: readonly Call[],
    { netns, ways }: { readonly netns: string; readonly ways: number },
  ): Promise<Batch> {
    const lines = calls.map(({ program, input, env }) =>
      [program, input, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)].join('\t'),
    );
    this.#child.stdin?.write(`${[[netns, ways, calls.length].join('\t'), ...lines].join('\n')}\n`);
    const timed: Timed[] = [];
    for (const _ of calls) {
      const [, ms, code, said = ''] = /^(\S+) (\d+) (.*)$/.exec(await this.#line()) ?? [];
      timed.push({ ms: Number(ms), code: Number(code), said });
    }
    return { calls: timed, wallMs: Number(await this.#line()) };
  }

  close(): void {
    this.#child.stdin?.end();
  }

  async #line(): Promise<string> {
    const { done, value } = await this.#lines.next();
    if (done) throw new Error('the stopwatch has ended');
    return value;
  }
}
