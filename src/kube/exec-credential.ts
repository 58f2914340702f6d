/**
 * What a kubeconfig's `exec` prints: the credential of who asks. client-node runs such a program too, but waits for it
 * for ever; here it is killed, with all that it started, when nobody waits any more.
 */
import { spawn } from 'node:child_process';

/** A credential has some KiB. */
const PRINTED_LENGTH_MAX = 65_536;
const SAID_LENGTH_MAX = 200;

/** As `users[].user.exec` of a kubeconfig has it. */
export interface HelperSpec {
  readonly apiVersion?: string;
  readonly command: string;
  readonly args?: readonly string[] | null;
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
}

/** `status` of the ExecCredential that was printed; certificate and key as PEM. */
export interface Credential {
  readonly token?: string;
  readonly clientCertificateData?: string;
  readonly clientKeyData?: string;
}

export class HelperError extends Error {
  constructor(command: string, did: string, cause?: unknown) {
    const next = 'run it by hand as the daemon does, or put a token or a certificate into that kubeconfig';
    super(`the kubeconfig's credential helper "${command}" ${did}: ${next}`, { cause });
  }
}

/** Throws HelperError, at the latest when `signal` aborts. */
export async function credentialOf(spec: HelperSpec, signal: AbortSignal): Promise<Credential> {
  const printed = await run(spec, signal);
  try {
    const { status } = JSON.parse(printed) as { readonly status: Credential };
    if (status.token !== undefined || status.clientCertificateData !== undefined) return status;
  } catch (error) {
    throw new HelperError(spec.command, 'printed no ExecCredential', error);
  }
  throw new HelperError(spec.command, 'printed neither a token nor a certificate');
}

function run({ command, args, env, apiVersion }: HelperSpec, signal: AbortSignal): Promise<string> {
  const info = { apiVersion, kind: 'ExecCredential', spec: { interactive: false } };
  const added = Object.fromEntries((env ?? []).map(({ name, value }) => [name, value]));
  const helper = spawn(command, args ?? [], {
    env: { ...process.env, KUBERNETES_EXEC_INFO: JSON.stringify(info), ...added },
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a process group of its own: what a script has started ends with it.
    detached: true,
  });
  return new Promise((resolve, reject) => {
    const fail = (did: string, cause?: unknown): void => reject(new HelperError(command, did, cause));
    const kill = (did: string): void => {
      fail(did, signal.reason);
      if (helper.pid !== undefined) killGroup(helper.pid);
    };
    const hung = (): void => kill('did not end in time and was killed');
    let printed = '';
    let said = '';
    helper.stdout.setEncoding('utf8').on('data', (piece: string) => {
      printed += piece;
      if (printed.length > PRINTED_LENGTH_MAX) kill('printed without end and was killed');
    });
    helper.stderr.setEncoding('utf8').on('data', (piece: string) => {
      said = (said + piece).slice(-SAID_LENGTH_MAX);
    });
    helper.on('error', (error) => fail(`cannot be run (${error.message})`, error));
    helper.on('close', (code, killedBy) => {
      signal.removeEventListener('abort', hung);
      if (code === 0) resolve(printed);
      else fail(`failed (${said.trim() || killedBy || `exit code ${code}`})`);
    });
    if (signal.aborted) hung();
    else signal.addEventListener('abort', hung);
  });
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
