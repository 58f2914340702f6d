/** The C programs of the bench: small, static, and compiled anew for each run. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { findCompiler } from '../../deploy/build-shim.ts';

export type Program = 'stopwatch' | 'empty' | 'minimum' | 'traffic';

const FLAGS = ['-std=c11', '-O2', '-static', '-Wall', '-Wextra', '-Werror'];

/** Its path in the folder. Throws with a sentence where there is no compiler. */
export function compile(name: Program, folder: string): string {
  const compiler = findCompiler();
  if (compiler === undefined) throw new Error('it needs a C compiler: apt-get install gcc libc6-dev');
  const path = join(folder, name);
  execFileSync(compiler, [...FLAGS, '-o', path, join(import.meta.dirname, `${name}.c`)], { stdio: 'inherit' });
  return path;
}
