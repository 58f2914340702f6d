/**
 * `node enter.ts NETNS PROGRAM [ARGUMENT...]`: becomes the program, in the namespace. What `nsenter --net` does, without
 * needing it.
 */
import { accessSync, closeSync, constants, openSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setNetworkNamespace } from '../kernel/libc.ts';

/** sysexits.h's EX_OSERR, and the shell's "not found". */
const EXIT = { namespace: 71, notFound: 127 } as const;

const [netns = '', program = '', ...args] = process.argv.slice(2);

function fail(sentence: string, code: number): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(code);
}

try {
  const fd = openSync(netns, 'r');
  setNetworkNamespace(fd);
  closeSync(fd);
} catch (error) {
  fail(`cannot enter the namespace ${netns}: ${Error.isError(error) ? error.message : error}`, EXIT.namespace);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

const path = program.includes('/')
  ? program
  : (process.env.PATH ?? '')
      .split(delimiter)
      .map((folder) => join(folder, program))
      .find(isProgram);
if (path === undefined || !isProgram(path)) fail(`${program}: not found`, EXIT.notFound);
process.execve?.(path, [program, ...args], process.env as Record<string, string>);
