/** The image of a sandbox's first process, made by hand: one static program, as the archive that `docker save` makes. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = join(import.meta.dirname, 'pause.c');
const TAG = 'local/pause:1';
/** As containerd names it: a short name is one of docker.io's, which is never asked for it. */
export const PAUSE_IMAGE = `docker.io/${TAG}`;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Writes the archive. Throws with the compiler's own words. */
export function writePauseImage(path: string): void {
  const layer = tar([{ name: 'pause', mode: 0o755, content: compiled() }]);
  const config = Buffer.from(
    JSON.stringify({
      architecture: ARCHITECTURES[arch()] ?? arch(),
      os: 'linux',
      config: { Entrypoint: ['/pause'] },
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(layer)}`] },
      history: [{}],
    }),
  );
  const configName = `${sha256(config)}.json`;
  const manifest = [{ Config: configName, RepoTags: [TAG], Layers: ['layer.tar'] }];
  const file = (name: string, content: Buffer): TarFile => ({ name, mode: 0o644, content });
  const files = [
    file('manifest.json', Buffer.from(JSON.stringify(manifest))),
    file(configName, config),
    file('layer.tar', layer),
  ];
  writeFileSync(path, tar(files));
}

function compiled(): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'uwp'));
  try {
    const program = join(folder, 'pause');
    execFileSync(process.env.CC ?? 'cc', ['-static', '-Os', '-o', program, SOURCE]);
    return readFileSync(program);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

interface TarFile {
  readonly name: string;
  readonly mode: number;
  readonly content: Buffer;
}

const TAR_BLOCK = 512;

/** POSIX ustar: a header a file, its content filled up to whole blocks, two empty blocks at the end. */
function tar(files: readonly TarFile[]): Buffer {
  const filled = (content: Buffer) => Buffer.alloc((TAR_BLOCK - (content.length % TAR_BLOCK)) % TAR_BLOCK);
  const parts = files.flatMap((file) => [tarHeader(file), file.content, filled(file.content)]);
  return Buffer.concat([...parts, Buffer.alloc(2 * TAR_BLOCK)]);
}

function tarHeader({ name, mode, content }: TarFile): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, length: number) => value.toString(8).padStart(length - 1, '0');
  header.write(name, 0, 100);
  header.write(octal(mode, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(content.length, 12), 124);
  header.write(octal(0, 12), 136);
  // While it is summed up, its own place holds spaces.
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\u000000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 7)}\0 `, 148, 'latin1');
  return header;
}
