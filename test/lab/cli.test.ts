/** `underway lab`, as a person runs it: up, status, exec, break, down; also after a kill -9, and as nobody. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { NETNS_FOLDER } from '../../src/lab/namespaces.ts';
import { defaultStateRoot } from '../../src/lab/privilege.ts';
import { processRecord } from '../../src/lab/processes.ts';
import { type LabRecord, labFolder, readJson } from '../../src/lab/state-folder.ts';
import type { LabStatus } from '../../src/lab/status.ts';
import { labName } from './pod-lab.ts';

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const NOBODY = 65_534;
const NOTHING_LEFT = 'left behind: 0 (processes 0, namespaces 0, mounts 0, files 0)\n';
const LIMIT_MS = 60_000;

function underway(args: readonly string[], options: Parameters<typeof spawnSync>[2] = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { ...options, encoding: 'utf8' });
  return { code: status, stdout: String(stdout), stderr: String(stderr) };
}

const namespacesLeft = (name: string) =>
  existsSync(NETNS_FOLDER) ? readdirSync(NETNS_FOLDER).filter((file) => file.startsWith(`${name}-`)) : [];

test(
  'up, status, exec, break, heal, down',
  () => {
    const name = labName();
    const named = ['--name', name];
    expect(underway(['lab', 'up', '--fast', '--no-daemons', '--nodes', '1', ...named])).toMatchObject({ code: 0 });
    try {
      expect(underway(['lab', 'up', ...named]).stderr).toMatch(
        new RegExp(`is up already \\(pid \\d+\\): underway lab down --name ${name}\n$`),
      );
      const status = JSON.parse(underway(['lab', 'status', '--json', ...named]).stdout) as LabStatus;
      expect(status).toMatchObject({ name, ready: true, faults: [], problems: [] });
      expect(status.ec2Endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
      expect(status.instances).toMatchObject([
        {
          name: 'node-1',
          netns: `/run/netns/${name}-node-1`,
          metadataEndpoint: 'http://169.254.169.254',
          daemon: { socket: expect.stringContaining('cni.sock'), pid: null },
          cni: { bin: expect.any(String), conf: expect.any(String) },
          enis: [{ link: 'eth0', primary: true, state: 'attached' }],
        },
        { name: 'vm-1', daemon: null, cni: null },
      ]);
      for (const path of [status.instances[0]?.netns, status.instances[0]?.cni?.bin])
        expect(existsSync(path ?? '')).toBe(true);
      const address = status.instances[0]?.enis[0]?.primary4 ?? '';
      const pinged = underway(['lab', 'exec', 'vm-1', ...named, '--', 'ping', '-c', '1', address]);
      expect(pinged).toMatchObject({ code: 0, stdout: expect.stringContaining('1 received') });
      expect(underway(['lab', 'exec', 'vm-1', ...named, '--', 'sh', '-c', 'exit 7'])).toMatchObject({ code: 7 });
      expect(underway(['lab', 'break', 'deny:node-1', ...named])).toMatchObject({ code: 0 });
      expect(underway(['lab', 'status', ...named]).stdout).toContain('deny:node-1');
      expect(underway(['lab', 'break', 'nonsense', ...named])).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('there are'),
      });
      expect(underway(['lab', 'heal', 'throttle', ...named])).toMatchObject({
        code: 1,
        stderr: 'underway: throttle is not armed; armed: deny:node-1\n',
      });
      expect(underway(['lab', 'heal', ...named]).stdout).toBe('1 healed\n');
    } finally {
      expect(underway(['lab', 'down', ...named])).toEqual({ code: 0, stdout: NOTHING_LEFT, stderr: '' });
    }
    expect(namespacesLeft(name)).toEqual([]);
  },
  LIMIT_MS,
);

test(
  'kill and restart of a daemon; a lab that is up is named where another was meant',
  () => {
    const name = labName();
    const named = ['--name', name];
    const daemonOf = () =>
      (JSON.parse(underway(['lab', 'status', '--json', ...named]).stdout) as LabStatus).instances[0]?.daemon;
    expect(underway(['lab', 'up', '--fast', '--nodes', '1', ...named])).toMatchObject({ code: 0 });
    try {
      const first = daemonOf()?.pid;
      expect(underway(['lab', 'kill', 'node-1', ...named])).toEqual({
        code: 0,
        stdout: `node-1: daemon ${first} was killed (kill -9); another: \`underway lab restart node-1 --name ${name}\`\n`,
        stderr: '',
      });
      expect(daemonOf()).toMatchObject({ pid: null, ending: 'SIGKILL' });
      expect(underway(['lab', 'status', ...named]).stdout).toMatch(/^node-1 .* ended \(SIGKILL\)$/m);
      expect(underway(['lab', 'kill', 'node-1', ...named])).toMatchObject({
        code: 1,
        stderr: 'underway: no daemon runs on node-1\n',
      });
      const restarted = /^node-1: no daemon ran; daemon (\d+) serves after \d+\.\d s\n$/;
      const [, second] = restarted.exec(underway(['lab', 'restart', 'node-1', ...named]).stdout) ?? [];
      expect(daemonOf()?.pid).toBe(Number(second));
      expect(underway(['lab', 'restart', 'node-1', ...named]).stdout).toMatch(
        new RegExp(`^node-1: daemon ${second} was killed \\(kill -9\\); daemon \\d+ serves`),
      );
      expect(underway(['lab', 'restart', 'node-9', ...named])).toMatchObject({
        code: 1,
        stderr: 'underway: no node node-9: there are node-1\n',
      });
      expect(underway(['lab', 'restart', ...named])).toMatchObject({ code: 64 });
      const other = labName();
      // Others may be up as well: another test's.
      expect(underway(['lab', 'status', '--name', other]).stderr).toMatch(
        new RegExp(`no lab ${other} is up: underway lab up --name ${other} \\(up: .*--name ${name}\\b`),
      );
    } finally {
      expect(underway(['lab', 'down', ...named])).toMatchObject({ code: 0 });
    }
  },
  LIMIT_MS,
);

test(
  'down leaves nothing behind after a kill -9, daemons included',
  () => {
    const name = labName();
    expect(underway(['lab', 'up', '--fast', '--nodes', '2', '--name', name])).toMatchObject({ code: 0 });
    const status = JSON.parse(underway(['lab', 'status', '--json', '--name', name]).stdout) as LabStatus;
    const daemons = status.instances.flatMap(({ daemon }) => daemon?.pid ?? []);
    expect(daemons).toHaveLength(2);
    process.kill(status.pid, 'SIGKILL');
    expect(underway(['lab', 'down', '--name', name])).toEqual({ code: 0, stdout: NOTHING_LEFT, stderr: '' });
    expect(namespacesLeft(name)).toEqual([]);
    expect(existsSync(status.folder)).toBe(false);
    for (const pid of daemons) expect(processRecord(pid)).toBeUndefined();
  },
  LIMIT_MS,
);

test(
  'down leaves nothing behind where `ip netns add` is used for the first time while the lab is up',
  () => {
    const lab = `${process.execPath} ${CLI} lab`;
    const name = `--name ${labName()}`;
    const up = `${lab} up --fast --no-daemons --nodes 0 --vms 0 ${name}`;
    const script = `mount -t tmpfs run /run && ${up} >&2 && ip netns add mypod && ip netns del mypod && ${lab} down ${name}`;
    // With a /run of its own, as on a machine that was just started.
    const { stdout, status } = spawnSync('unshare', ['--mount', 'sh', '-c', script], { encoding: 'utf8' });
    expect({ stdout, status }).toEqual({ stdout: NOTHING_LEFT, status: 0 });
  },
  LIMIT_MS,
);

test('down without a lab, and wrong words', () => {
  expect(underway(['lab', 'down', '--name', labName()])).toEqual({ code: 0, stdout: NOTHING_LEFT, stderr: '' });
  const name = labName();
  expect(underway(['lab', 'status', '--name', name])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`underway: no lab ${name} is up: underway lab up --name ${name}`),
  });
  expect(underway(['lab', 'up', '--instance-type', 'a.bicycle', '--name', name])).toMatchObject({ code: 1 });
  expect(existsSync(labFolder(defaultStateRoot(), name).log)).toBe(false);
  expect(underway(['lab', 'up', '--nodes', 'many'])).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('whole number'),
  });
  expect(underway(['lab', 'up', '--no-ipv6', '--families', '4,6'])).toMatchObject({
    code: 64,
    stderr: expect.stringContaining('--families is a list of 4, which the subnets have; it has 6'),
  });
  expect(underway(['lab', 'up', '--name', 'No Name'])).toMatchObject({ code: 64 });
  expect(underway(['lab', 'fly'])).toMatchObject({
    code: 64,
    stderr: 'underway: there is no `underway lab fly`: see underway --help\n',
  });
  const npm = { env: { ...process.env, npm_lifecycle_event: 'underway' } };
  expect(underway(['lab', 'fly'], npm).stderr).toMatch(/: see npm run underway -- --help\n$/);
  expect(underway(['lab', 'down', '--now'])).toMatchObject({
    code: 64,
    stderr: "underway: Unknown option '--now': see underway lab down --help\n",
  });
  for (const command of ['up', 'status', 'down', 'break', 'heal', 'exec', 'kill', 'restart'])
    expect(underway(['lab', command, '--name', 'x', '--help'])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`underway lab ${command}`),
    });
});

/** Somebody without rights, where there is one and the machine lets such make user namespaces. */
const canBeNobody =
  process.getuid?.() === 0 &&
  spawnSync('unshare', ['--user', '--map-root-user', '--net', '--mount', 'true'], { uid: NOBODY, gid: NOBODY })
    .status === 0;

(canBeNobody ? test : test.skip)(
  'nobody has a lab in a user namespace, which ends with a kill -9 as well',
  () => {
    const name = labName();
    const asNobody = { uid: NOBODY, gid: NOBODY, env: { ...process.env, HOME: '/tmp' } };
    const named = ['--name', name];
    const up = underway(['lab', 'up', '--fast', '--nodes', '1', ...named], asNobody);
    expect(up).toMatchObject({ code: 0, stdout: expect.stringContaining('pid') });
    const { path, record } = labFolder(`/tmp/underway-lab-${NOBODY}`, name);
    const lab = readJson<LabRecord>(record);
    expect(lab?.userNamespace).toBe(true);
    expect(namespacesLeft(name)).toEqual([]);
    const status = JSON.parse(underway(['lab', 'status', '--json', ...named], asNobody).stdout) as LabStatus;
    const to = status.instances[0]?.enis[0]?.primary4 ?? '';
    const pinged = underway(['lab', 'exec', 'vm-1', ...named, '--', 'ping', '-c', '1', to], asNobody);
    expect(pinged).toMatchObject({ code: 0, stdout: expect.stringContaining('1 received') });
    process.kill(status.pid, 'SIGKILL');
    expect(underway(['lab', 'down', ...named], asNobody)).toEqual({ code: 0, stdout: NOTHING_LEFT, stderr: '' });
    expect(existsSync(path)).toBe(false);
  },
  LIMIT_MS,
);
