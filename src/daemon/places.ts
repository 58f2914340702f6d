/** What the configuration names on this machine's disk, looked at before anything begins: a sentence for each that is wrong. */
import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { faultOfBinary, ownBinary } from '../install/binary.ts';
import type { Config } from './config.ts';

export function faultsOfPlaces({ stateDir, bootIdFile, cni }: Config): readonly string[] {
  const binary = cni.binDir === null ? undefined : faultOfBinary(cni.binary ?? ownBinary());
  return [stateDirFault(stateDir), bootIdFault(bootIdFile), binary].filter((fault) => fault !== undefined);
}

function stateDirFault(stateDir: string): string | undefined {
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    accessSync(stateDir, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return `stateDir ${stateDir} cannot hold the journal (${textOf(error)}): name a folder that root may write to and that survives a restart`;
  }
}

function bootIdFault(file: string): string | undefined {
  const next = 'leave bootIdFile out for the kernel’s own';
  try {
    return readFileSync(file, 'utf8').trim() === '' ? `bootIdFile ${file} is empty: ${next}` : undefined;
  } catch (error) {
    return `bootIdFile ${file} cannot be read (${textOf(error)}): ${next}`;
  }
}

const textOf = (error: unknown): string => (Error.isError(error) ? error.message : String(error));
