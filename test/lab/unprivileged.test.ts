/** `npm test` as somebody who is not root: with user namespaces, and where the machine forbids those too. */
import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const RUN = fileURLToPath(new URL('../run.ts', import.meta.url));
const NOBODY = 65_534;
/** A tier that can be run is, and is over at once. */
const NO_SUCH_TEST = 'no-such-test';
/** A user namespace in which no more may be made, and the tests without a right in it. */
const FORBIDDEN = `echo 0 > /proc/sys/user/max_user_namespaces &&
  exec setpriv --inh-caps=-all --bounding-set=-all "$@"`;
const LIMIT_MS = 60_000;

interface How {
  readonly before: readonly string[];
  readonly ci?: boolean;
  readonly temporary?: string;
}

function npmTest(args: readonly string[], { before, ci = false, temporary = tmpdir() }: How) {
  const [program = '', ...words] = [...before, process.execPath, RUN, ...args];
  const { CI: _, ...env } = process.env;
  const { status, stdout, stderr } = spawnSync(program, words, {
    encoding: 'utf8',
    env: { ...env, TMPDIR: temporary, ...(ci && { CI: 'true' }) },
  });
  return { code: status, stdout, stderr };
}

const forbidden = ['unshare', '--user', '--map-root-user', 'sh', '-c', FORBIDDEN, 'sh'];
const nobody = [
  'setpriv',
  `--reuid=${NOBODY}`,
  `--regid=${NOBODY}`,
  '--clear-groups',
  '--inh-caps=-all',
  '--bounding-set=-all',
];

test(
  'without user namespaces: pure tiers run, the others are named with how to get them',
  () => {
    const said = npmTest(['--tier', 'tidy', '--tier', 'kernel', '--tier', 'lab', NO_SUCH_TEST], { before: forbidden });
    expect(said.stdout).toMatch(
      /^SKIPPED kernel \(netlink in real namespaces\): .*Run it as root \(.*, or allow user/m,
    );
    expect(said.stdout).toMatch(/^SKIPPED lab \(.*kernel\.unprivileged_userns_clone=1/m);
    expect(said.stdout).toContain('=== tidy');
    expect(said.stdout).not.toMatch(/=== (kernel|lab)/);
    expect(said).toMatchObject({ code: 0, stdout: expect.stringContaining('npm test: passed, 2 skipped') });
  },
  LIMIT_MS,
);

test(
  'where CI says that nothing may be skipped, that is a failure',
  () => {
    expect(npmTest(['--tier', 'kernel'], { before: forbidden, ci: true })).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('SKIPPED kernel'),
    });
  },
  LIMIT_MS,
);

/** Root of the machine can, root of a user namespace cannot; and there are machines where nobody may make those. */
const canBeNobody =
  spawnSync(nobody[0] ?? '', [...nobody.slice(1), 'unshare', '--user', '--map-root-user', '--net', 'true']).status ===
  0;

(canBeNobody ? test : test.skip)(
  'nobody, who may make user namespaces, has the kernel tier in one (needs root, to become nobody)',
  () => {
    const said = npmTest(['--tier', 'kernel', NO_SUCH_TEST], { before: nobody });
    expect(said.stdout).not.toContain('SKIPPED');
    expect(said).toMatchObject({ code: 0, stdout: expect.stringContaining('=== kernel') });
  },
  LIMIT_MS,
);

(canBeNobody ? test : test.skip)(
  'what only root can test is named (needs root, to become nobody)',
  () => {
    const said = npmTest(['--tier', 'lab', NO_SUCH_TEST], { before: nobody });
    expect(said.stdout).toMatch(/^SKIPPED lab \(what nobody may do\): .*run it as root/m);
    expect(said).toMatchObject({ code: 0, stdout: expect.stringContaining('=== lab') });
  },
  LIMIT_MS,
);

(canBeNobody ? test : test.skip)(
  'root of a user namespace leaves the folder of another root alone (needs root, to become nobody)',
  () => {
    const temporary = mkdtempSync(join(tmpdir(), 'uwu'));
    try {
      mkdirSync(join(temporary, 'underway-jest-0'));
      chownSync(join(temporary, 'underway-jest-0'), NOBODY, NOBODY);
      expect(npmTest(['--tier', 'tidy', NO_SUCH_TEST], { before: forbidden, temporary })).toMatchObject({ code: 0 });
      expect(readdirSync(temporary)).toEqual(['underway-jest-0']);
    } finally {
      rmSync(temporary, { recursive: true });
    }
  },
  LIMIT_MS,
);
