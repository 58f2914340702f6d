/** Programs inside a namespace, as children of this process. */
import { type SpawnOptions, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ENTER = fileURLToPath(new URL('./enter.ts', import.meta.url));

/** How a program in the namespace is started: for spawn, or for a shell. Its pid is the program's own. */
export const commandIn = (netns: string, command: readonly string[]): readonly [string, ...string[]] => [
  process.execPath,
  '--disable-warning=ExperimentalWarning',
  ENTER,
  netns,
  ...command,
];

export function spawnIn(netns: string, command: readonly string[], options: SpawnOptions) {
  const [program, ...args] = commandIn(netns, command);
  return spawn(program, args, options);
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs it to its end, with `input` on its stdin. */
export function runIn(
  netns: string,
  command: readonly string[],
  { input = '', env = process.env }: { readonly input?: string; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawnIn(netns, command, { env, stdio: 'pipe' });
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? (signal === null ? 1 : 128), stdout, stderr }));
    // A program that ends without reading its input is no failure.
    child.stdin?.on('error', () => {}).end(input);
  });
}
