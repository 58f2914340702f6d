/** What Go is told when tests have it build something, by a `go` that only writes it down. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { goLack } from '../go.ts';

let folder: string;
const before = { ...process.env };
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'underway-go-'));
  writeFileSync(join(folder, 'go.mod'), 'module x\n\ngo 1.26.6\n');
  process.env.PATH = `${folder}${delimiter}${before.PATH}`;
});
afterEach(() => {
  process.env = { ...before };
  rmSync(folder, { recursive: true, force: true });
});

const goDoes = (script: string): void => writeFileSync(join(folder, 'go'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
const build = () => goLack({ folder, args: ['-o', 'x', '.'], timeoutMs: 10_000 });

test('settings of the machine’s owner that would break the build are not passed on', async () => {
  Object.assign(process.env, { GOFLAGS: '-mod=vendor', GOWORK: '/w', GOTOOLCHAIN: 'go1.20', GO111MODULE: 'off' });
  Object.assign(process.env, { GOOS: 'plan9', GOARCH: 'mips', CGO_ENABLED: '1', GOPROXY: 'kept' });
  goDoes('echo "$* $GOFLAGS $GOWORK $GOTOOLCHAIN $GO111MODULE [$GOOS$GOARCH] $CGO_ENABLED $GOPROXY" >&2; exit 1');
  expect(await build()).toMatch(/build -o x \. -mod=readonly -buildvcs=false off auto on \[\] 0 kept$/);
});

test('one that is too old, or none, is a sentence that names the version it takes', async () => {
  goDoes('echo "go: errors parsing go.mod" >&2; exit 1');
  const needs = /^Go 1\.26\.6 or newer \(.*\) and its module proxy once: /;
  expect(await build()).toMatch(needs);
  process.env.PATH = join(folder, 'nowhere');
  expect(await build()).toMatch(needs);
  process.env.PATH = before.PATH;
});

test('nothing is lacking where it builds', async () => {
  goDoes('exit 0');
  expect(await build()).toBeUndefined();
});
