/**
 * Compiles the CNI binary into build/shim/underway with this machine's C compiler.
 *
 * Static, because it runs in whatever image the node's host is; position independent all the same, for address space
 * layout randomisation: it runs as root, and was measured no slower (0.6 to 0.8 ms exec to exit, either way).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = join(root, 'src/cni');

/** Where `npm run build:shim` puts the binary. */
export const SHIM_PATH = join(root, 'build/shim/underway');

const WARNINGS =
  '-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wundef -Wvla -Wformat=2 -Werror'.split(' ');
/** _GNU_SOURCE is for memmem, pipe flags and CLOCK_BOOTTIME; the language itself is C11. */
const LANGUAGE = ['-std=c11', '-D_GNU_SOURCE'];
const RELEASE = '-O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -static-pie -s -Wl,-z,relro,-z,now'.split(' ');
/** For tests: finds what the fixed buffers must never do. ASan cannot be linked statically. */
const SANITIZED = '-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all'.split(' ');

/** The C compiler: $CC, or the first of cc, gcc and clang that runs. Undefined when there is none. */
export function findCompiler(): string | undefined {
  const wanted = process.env.CC;
  const candidates = wanted === undefined || wanted === '' ? ['cc', 'gcc', 'clang'] : [wanted];
  return candidates.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** True when the binary is younger than every source and than this script. */
export function isUpToDate(binary: string): boolean {
  const inputs = readdirSync(sources).map((name) => join(sources, name));
  const built = statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return [...inputs, fileURLToPath(import.meta.url)].every((input) => statSync(input).mtimeMs < built);
}

/**
 * Compiles to a draft and renames it: a program that runs is never opened for writing (ETXTBSY, or half a binary).
 * Throws Error with the compiler's own words when it refuses.
 */
export function buildShim(options: {
  readonly compiler: string;
  readonly binary: string;
  readonly sanitized: boolean;
}) {
  const { compiler, binary, sanitized } = options;
  const draft = `${binary}.${process.pid}`;
  mkdirSync(dirname(binary), { recursive: true });
  const flags = [...LANGUAGE, ...WARNINGS, ...(sanitized ? SANITIZED : RELEASE)];
  execFileSync(compiler, [...flags, join(sources, 'shim.c'), '-o', draft], { stdio: 'inherit' });
  renameSync(draft, binary);
}

function main(): number {
  if (isUpToDate(SHIM_PATH)) return 0;
  const compiler = findCompiler();
  if (compiler === undefined) {
    const tried = process.env.CC ? `no CC=${process.env.CC}` : 'neither cc nor gcc nor clang';
    console.error(
      `The CNI binary needs a C compiler, but ${tried} runs here. On Debian: apt-get install gcc libc6-dev.`,
    );
    return 1;
  }
  try {
    buildShim({ compiler, binary: SHIM_PATH, sanitized: false });
  } catch {
    console.error(`${compiler} could not build the CNI binary; its words are above.`);
    return 1;
  }
  console.log(`built ${SHIM_PATH} (${statSync(SHIM_PATH).size} bytes) with ${compiler}`);
  return 0;
}

if (import.meta.main) process.exitCode = main();
