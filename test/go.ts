/** Builds Go programs for tests with this machine's Go, whatever its owner has set for work of his own. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface GoBuild {
  /** With go.mod and go.sum. */
  readonly folder: string;
  /** What follows `go build`. */
  readonly args: readonly string[];
  readonly timeoutMs: number;
}

/**
 * Said anew: a workspace, a vendor folder, another system or toolchain would break the build, and so does a checkout that is
 * another user's, which git refuses to describe. A Go from 1.21 on fetches the toolchain that go.mod asks for, if it is older.
 */
const SETTINGS = {
  CGO_ENABLED: '0',
  GO111MODULE: 'on',
  GOFLAGS: '-mod=readonly -buildvcs=false',
  GOTOOLCHAIN: 'auto',
  GOWORK: 'off',
  GOOS: '',
  GOARCH: '',
};

/** What it needs, as the end of a sentence, where it cannot be built. */
export async function goLack({ folder, args, timeoutMs }: GoBuild): Promise<string | undefined> {
  try {
    const env = { ...process.env, ...SETTINGS };
    const building = run('go', ['build', ...args], { cwd: folder, env, timeout: timeoutMs });
    // Tests run meanwhile, and what they wait for comes first.
    if (building.child.pid !== undefined) setPriority(building.child.pid, constants.priority.PRIORITY_LOW);
    await building;
    return undefined;
  } catch (error) {
    const said = Error.isError(error) ? error.message.trim().split('\n').at(-1) : String(error);
    return `Go ${versionIn(folder)} or newer (Debian 12's is too old) and its module proxy once: ${said}`;
  }
}

function versionIn(folder: string): string {
  return /^go (\S+)$/m.exec(readFileSync(join(folder, 'go.mod'), 'utf8'))?.[1] ?? 'of any version';
}
