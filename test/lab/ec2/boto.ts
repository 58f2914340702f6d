/**
 * Where a Python with boto3 is: a client of EC2 that is not ours, with AWS's own model of the API inside. Looked for in
 * the test's own virtual environment, then on PATH; made from PyPI once if it is in neither.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Kept with what npm installs: outside of git, gone with it. */
const VENV = fileURLToPath(new URL('../../../node_modules/.cache/underway-boto3', import.meta.url));
const VENV_PYTHON = `${VENV}/bin/python3`;
/** boto3 and botocore are 15 MB; on a slow line that is a minute. */
const INSTALL_TIMEOUT_MS = 150_000;

export const HOW_TO_GET_IT =
  'It needs boto3: python3 -m venv node_modules/.cache/underway-boto3 && ' +
  'node_modules/.cache/underway-boto3/bin/pip install boto3 (Debian: apt-get install python3-venv)';

export interface Boto {
  readonly python: string;
  /** botocore's own folder, which holds `data/ec2/2016-11-15/service-2.json.gz`. */
  readonly botocore: string;
}

/** Undefined where there is none and none can be got: `npm test` says so. */
export async function findBoto(): Promise<Boto | undefined> {
  const found = (await ask(VENV_PYTHON)) ?? (await ask('python3'));
  if (found !== undefined) return found;
  try {
    if (!existsSync(VENV_PYTHON)) await run('python3', ['-m', 'venv', VENV], { timeout: INSTALL_TIMEOUT_MS });
    const install = ['-m', 'pip', 'install', '--quiet', '--retries', '0', '--timeout', '15', 'boto3'];
    await run(VENV_PYTHON, install, { timeout: INSTALL_TIMEOUT_MS });
  } catch {
    return undefined;
  }
  return ask(VENV_PYTHON);
}

async function ask(python: string): Promise<Boto | undefined> {
  try {
    const program = 'import boto3, botocore, os; print(os.path.dirname(botocore.__file__))';
    const { stdout } = await run(python, ['-c', program], { timeout: 20_000 });
    return { python, botocore: stdout.trim() };
  } catch {
    return undefined;
  }
}
