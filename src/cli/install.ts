/** `underway install`: what makes a container runtime call us, put where it looks. */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_PLACES, faultOfBinary, ownBinary, placeBinary } from '../install/binary.ts';
import { NETWORK_NAME, PORTMAP_CHOICES, type PortmapChoice, placeConflist } from '../install/conflist.ts';
import { placeNetworkd } from '../install/networkd.ts';
import type { Placed } from '../install/place.ts';
import { readFlags, UsageError, wholeNumber } from '../program/flags.ts';
import type { Command } from './command.ts';

const BIN_DIR = '/opt/cni/bin';
const CONF_DIR = '/etc/cni/net.d';
const WAIT_S = 60;
const WAIT_S_MAX = 3_600;
const ASK_MS = 2_000;
const PAUSE_MS = 250;

const HELP = `underway install [--bin-dir DIR] [--conf-dir DIR] [--wait SECONDS] ...

Puts the CNI binary into the runtime's folder, waits until the daemon of this node can serve, and only then puts the
network's configuration list where the runtime finds it. What is as it should be is not written again; what differs is
replaced, with a warning where it is the list. So it may be run again.

  --bin-dir DIR      where the runtime has its plugins; default ${BIN_DIR}
  --conf-dir DIR     where the runtime looks for networks; default ${CONF_DIR}
  --binary FILE      the CNI binary; default the one that came with this program
  --socket PATH      the daemon's socket; default ${DEFAULT_PLACES.socket}
  --state-dir DIR    the daemon's state folder; default ${DEFAULT_PLACES.stateDir}
  --portmap CHOICE   chain the plugin portmap, for hostPort: always, never, or (default) auto: where it is in --bin-dir,
                     or the list that is there has it
  --wait SECONDS     for the daemon, at most; default ${WAIT_S}
  --networkd DIR     also keep systemd-networkd from removing our rules and routes, by two files under DIR (/etc/systemd)

The same is done by a daemon whose configuration names cni.binDir and cni.confDir.
Exit codes: 0 all is there, 1 something is not (a sentence says what), 64 wrong use.
`;

export const install: Command = {
  summary: 'put the CNI binary and the network’s configuration where the runtime looks',
  help: HELP,
  async run(args) {
    const { binDir, confDir, binary, socket, stateDir, portmap, waitS, networkd } = optionsIn(args);
    const fault = faultOfBinary(binary);
    if (fault !== undefined) throw new Error(fault);
    tell(placeBinary({ binDir, binary, socket, stateDir }));
    if (networkd !== undefined && tell(placeNetworkd(networkd)))
      say('systemd-networkd takes this when it is restarted: systemctl restart systemd-networkd');
    await daemonServes(socket, waitS);
    const list = placeConflist({ confDir, binDir, portmap });
    tell([list]);
    for (const note of list.notes) say(`warning: ${note}`);
    return 0;
  },
};

function optionsIn(args: readonly string[]) {
  const { values } = readFlags({
    args: [...args],
    options: {
      'bin-dir': { type: 'string', default: BIN_DIR },
      'conf-dir': { type: 'string', default: CONF_DIR },
      binary: { type: 'string', default: ownBinary() },
      socket: { type: 'string', default: DEFAULT_PLACES.socket },
      'state-dir': { type: 'string', default: DEFAULT_PLACES.stateDir },
      portmap: { type: 'string', default: 'auto' },
      wait: { type: 'string', default: String(WAIT_S) },
      networkd: { type: 'string' },
    },
  });
  for (const flag of ['bin-dir', 'conf-dir', 'socket', 'state-dir', 'networkd'] as const) {
    const path = values[flag];
    // The binary's own settings take no other path, and a runtime has a working folder of its own.
    if (path !== undefined && !/^\/[^\n]*$/.test(path))
      throw new UsageError(`--${flag} must be an absolute path; it is ${path || 'empty'}`);
  }
  return {
    binDir: values['bin-dir'],
    confDir: values['conf-dir'],
    binary: values.binary,
    socket: values.socket,
    stateDir: values['state-dir'],
    portmap: portmapIn(values.portmap),
    waitS: wholeNumber('wait', values.wait, { min: 0, max: WAIT_S_MAX }),
    networkd: values.networkd,
  };
}

function portmapIn(text: string): PortmapChoice {
  const choice = PORTMAP_CHOICES.find((known) => known === text);
  if (choice !== undefined) return choice;
  throw new UsageError(`--portmap must be one of ${PORTMAP_CHOICES.join(', ')}; it is ${text || 'empty'}`);
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** True where something was written. */
function tell(placed: readonly Placed[]): boolean {
  for (const { path, outcome } of placed) say(`${outcome.padEnd(9)} ${path}`);
  return placed.some(({ outcome }) => outcome === 'written');
}

/** Rejects with a sentence when it does not within the time. */
async function daemonServes(socket: string, waitS: number): Promise<void> {
  const untilMs = performance.now() + waitS * 1_000;
  let why = await hindrance(socket);
  while (why !== undefined && performance.now() < untilMs) {
    await sleep(PAUSE_MS);
    why = await hindrance(socket);
  }
  if (why === undefined) return;
  const waited = waitS === 0 ? '' : ` after ${waitS} s`;
  throw new Error(
    `the daemon at ${socket} cannot serve${waited} (${why}), so the runtime is not told of the network: start it and see its log, then run this again`,
  );
}

/** What STATUS says against adding pods; undefined where nothing is. */
function hindrance(socketPath: string): Promise<string | undefined> {
  const config = { cniVersion: '1.1.0', name: NETWORK_NAME, type: 'underway' };
  const body = JSON.stringify({ command: 'STATUS', config, deadlineMs: ASK_MS });
  return new Promise((resolve) => {
    const options = { socketPath, path: '/v1/cni', method: 'POST', agent: false, timeout: ASK_MS };
    const asked = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(response.statusCode === 200 ? undefined : messageIn(text)));
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${ASK_MS / 1_000} s`)));
    asked.on('error', ({ message }) => resolve(message));
    asked.end(body);
  });
}

function messageIn(text: string): string {
  try {
    const { msg } = JSON.parse(text);
    return typeof msg === 'string' ? msg : text.trim();
  } catch {
    return text.trim();
  }
}
