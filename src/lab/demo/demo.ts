/**
 * The demo, step by step. Each step prints what it saw; what it claims it has counted from outside the daemons.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ip } from '../../core/ip.ts';
import type { Interruption } from '../../program/interruption.ts';
import { INTERNET4, INTERNET6 } from '../fabric/addressing.ts';
import { createLab, type Lab } from '../lab.ts';
import type { NamespaceServer } from '../namespace-server.ts';
import { startEcho } from '../probe/echo.ts';
import { ping, probeTcp } from '../probe/probe.ts';
import { interruptedText } from '../removal.ts';
import { boundMs, freeAddresses } from './bound.ts';
import { callByHand } from './by-hand.ts';
import { countCrash } from './count.ts';
import { countOf, Ground } from './leftovers.ts';
import { type DemoPod, DemoPods, hostOf, type PodHost } from './pods.ts';
import { type PodRow, quantile, Report } from './report.ts';

/** 8 ENIs of 30 addresses: room for a burst of 100 pods on one node. */
const INSTANCE_TYPE = 'm5.4xlarge';
const PODS_PER_NODE = 20;
const SHOWN_PER_NODE = 4;
const BURST = 100;
const CRASH_BURST = 60;
const PARALLEL = 16;
/** A 99th percentile may take this many times the least that the cloud allows. */
const BOUND_FACTOR = 1.5;
const KILL_POLL_MS = 5;

export interface DemoOptions {
  readonly fast: boolean;
  readonly keep: boolean;
  readonly json?: string | undefined;
}

/** Rejects with a sentence, such as that one is up already. */
export const demoLab = ({ fast }: DemoOptions): Promise<Lab> =>
  createLab({
    name: 'uwdemo',
    instanceType: INSTANCE_TYPE,
    fast,
    exact: true,
    daemons: false,
    daemonConfig: {
      pool: { primaryEni: 'skip', targets: { floor: 0, headroom: 10, ceiling: 300 } },
      addDeadlineMs: 20_000,
    },
  });

export class Demo {
  private readonly lab: Lab;
  private readonly options: DemoOptions;
  private readonly report = new Report();
  private readonly echoes: NamespaceServer[] = [];

  constructor(lab: Lab, options: DemoOptions) {
    this.lab = lab;
    this.options = options;
  }

  /** Resolves with the exit code, when the lab is down. */
  async run(interrupted: Promise<Interruption>): Promise<number> {
    const { lab, report, options } = this;
    const pods = new DemoPods(lab.networks, lab.name);
    try {
      const end = await Promise.race([this.steps(pods), interrupted]);
      if (!(end instanceof Ground)) return await this.cut(pods, end);
      const asked = options.keep ? await this.keep(interrupted) : undefined;
      if (asked !== undefined) await this.teardown(pods, end);
      const ok = report.finish(options.json);
      // Ctrl-C is how a demo that was kept is meant to end.
      return asked === undefined || asked.signal === 'SIGINT' ? Number(!ok) : asked.code;
    } finally {
      for (const echo of this.echoes) await echo.close();
      await lab.close();
    }
  }

  /** All of them; but the teardown of one that is to be kept. */
  private async steps(pods: DemoPods): Promise<Ground> {
    const { lab, report, options } = this;
    report.step(`A VPC on this machine: 3 nodes (${INSTANCE_TYPE}), 2 subnets, a VM, the internet`);
    const hosts = lab.nodes.map((node) => hostOf(node));
    await startInOwnSubnets(lab);
    const ground = await Ground.of(lab);
    for (const node of lab.nodes)
      report.say(`${node.name} ${node.instance.id} in ${node.instance.netns}, its daemon serves`);
    await this.addPods(lab, pods, hosts);
    await this.connectivity(lab, pods);
    await this.burst(lab, pods, hosts);
    await this.failure(lab, pods, hosts);
    await this.crash(lab, pods, hosts);
    if (!options.keep) await this.teardown(pods, ground);
    return ground;
  }

  /** Nothing more is begun or said, and all of it goes. */
  private async cut(pods: DemoPods, { code }: Interruption): Promise<number> {
    this.report.mute();
    pods.abandon();
    const left = await this.lab.close();
    console.log(`\n${interruptedText(left)}`);
    return code;
  }

  private async addPods(lab: Lab, pods: DemoPods, hosts: readonly PodHost[]): Promise<void> {
    const { report, options } = this;
    report.step(`${3 * PODS_PER_NODE} pods through the CNI binary, ${PARALLEL} at a time on each node`);
    await Promise.all(hosts.map((host) => pods.add(host, PODS_PER_NODE, PARALLEL)));
    const rows = pods.all.map((pod) => rowOf(lab, pod));
    report.figures.pods = rows;
    report.table(
      hosts.flatMap((host) => rows.filter((row) => row.node === host.name).slice(0, SHOWN_PER_NODE)),
      { count: rows.length, file: options.json },
    );
    const failed = pods.all.filter((pod) => pod.error !== undefined);
    report.check(
      'every pod has its address',
      failed.length === 0,
      failed[0]?.error?.msg ?? `${pods.running.length} pods`,
    );
    const onPrimary = rows.filter((row) => lab.cloud.truth.eni(row.eni as never)?.primary !== false);
    report.check(
      'pods are on secondary ENIs',
      onPrimary.length === 0,
      `${new Set(rows.map((row) => row.eni)).size} ENIs in use`,
    );
  }

  /** Who reaches whom, and as whom: the other side says which source address it saw. */
  private async connectivity(lab: Lab, pods: DemoPods): Promise<void> {
    const { report } = this;
    report.step('Pings and TCP, each with the source address that the other side saw');
    const on = (n: number, at: number): DemoPod =>
      pods.running.filter((pod) => pod.host.name === `node-${n}`)[at] as DemoPod;
    const [a, b, c, d] = [on(1, 0), on(1, 1), on(2, 0), on(3, 0)];
    const vm = lab.vms[0];
    if (vm === undefined) throw new Error('the lab has no VM');
    for (const pod of [a, b, c, d]) await pods.listen(pod);
    for (const [name, netns] of [
      [vm.name, vm.netns],
      ['internet', lab.internetNetns],
    ] as const) {
      this.echoes.push(await startEcho(lab.networks, { netns, name }));
    }
    const vmEni = lab.cloud.truth.enisOf(vm.id)[0];
    const nodeEni = lab.cloud.truth.enisOf(lab.nodes[0]?.instance.id as never)[0];
    for (const family of [4, 6] as const) {
      const ip = (pod: DemoPod): Ip => pod.addresses[family === 4 ? 0 : 1] as Ip;
      const vmIp = (family === 4 ? vmEni?.primary4 : vmEni?.primary6) as Ip;
      const outside = family === 4 ? (nodeEni?.publicIp as Ip) : ip(a);
      await this.reach(`IPv${family} pod to pod, same node`, a.netns, ip(b), ip(a));
      await this.reach(`IPv${family} pod to pod, other node and subnet`, a.netns, ip(c), ip(a));
      await this.reach(`IPv${family} pod to pod, other node, same subnet`, a.netns, ip(d), ip(a));
      await this.reach(`IPv${family} pod to VM`, a.netns, vmIp, ip(a));
      await this.reach(`IPv${family} VM to pod`, vm.netns, ip(a), vmIp);
      await this.reach(`IPv${family} pod to internet`, a.netns, family === 4 ? INTERNET4 : INTERNET6, outside);
    }
  }

  private async reach(name: string, netns: string, to: Ip, source: Ip): Promise<void> {
    const echo = await ping({ netns, to });
    const tcp = await probeTcp({ netns, to });
    const said = tcp.ok ? tcp.said : tcp.why;
    this.report.check(
      name,
      echo.ok && tcp.ok && sawSource(said, source),
      `${said}${echo.ok ? `, ping ${echo.ms.toFixed(1)} ms` : `, ping: ${echo.why}`}`,
    );
  }

  private async burst(lab: Lab, pods: DemoPods, hosts: readonly PodHost[]): Promise<void> {
    const { report } = this;
    const [host] = hosts;
    const node = lab.nodes[0];
    if (host === undefined || node === undefined) return;
    const used = new Set(pods.running.flatMap((pod) => pod.addresses));
    const free = freeAddresses(lab.cloud, node.instance.id, used);
    const bound = boundMs(lab.cloud, { instance: node.instance.id, free, pods: BURST });
    report.step(`A burst: ${BURST} pods at once on ${host.name}, which has ${free} addresses free`);
    const callsBefore = new Map(lab.cloud.callCounts);
    const enisBefore = lab.cloud.truth.enisOf(node.instance.id).length;
    const added = await pods.add(host, BURST, BURST);
    const waits = added.map((pod) => pod.addMs).sort((x, y) => x - y);
    const figures = { pods: BURST, waitP50Ms: quantile(waits, 0.5), waitP99Ms: quantile(waits, 0.99), boundMs: bound };
    report.figures.burst = figures;
    report.say(
      `ENIs ${enisBefore} -> ${lab.cloud.truth.enisOf(node.instance.id).length}; calls ${callText(callsBefore, lab.cloud.callCounts)}`,
    );
    report.say(
      `waited: p50 ${figures.waitP50Ms.toFixed(0)} ms, p99 ${figures.waitP99Ms.toFixed(0)} ms; the cloud allows ${bound.toFixed(0)} ms at best`,
    );
    const refused = added.filter((pod) => pod.error !== undefined);
    report.check('all of the burst got addresses', refused.length === 0, refused[0]?.error?.msg ?? `${BURST} pods`);
    if (this.options.fast) return report.say('a cloud that answers at once sets no bound');
    const times = (figures.waitP99Ms / Math.max(1, bound)).toFixed(2);
    report.check(
      `p99 within ${BOUND_FACTOR} times the cloud's bound`,
      figures.waitP99Ms <= BOUND_FACTOR * bound,
      `${times} times`,
    );
  }

  /** A subnet runs full: pods are served while addresses last, then told why not. */
  private async failure(lab: Lab, pods: DemoPods, hosts: readonly PodHost[]): Promise<void> {
    const { report } = this;
    const host = hosts[1];
    if (host === undefined) return;
    report.step('A deliberate failure: the subnets are full (lab break subnet-full)');
    await lab.break('subnet-full');
    const added = await pods.add(host, 2 * PODS_PER_NODE, PARALLEL);
    const refused = added.filter((pod) => pod.error !== undefined);
    const reason = refused[0]?.error;
    report.say(`${added.length - refused.length} pods served from the pool, ${refused.length} refused`);
    if (reason !== undefined) report.say(`code ${reason.code}: ${reason.msg}`);
    const named =
      refused.length > 0 &&
      refused.every((pod) => `${pod.error?.msg} ${pod.error?.details ?? ''}`.includes('SUBNET_EXHAUSTED'));
    report.check('refused pods are told SUBNET_EXHAUSTED', named, `${refused.length} pods`);
    lab.heal();
    await pods.remove(added, PARALLEL);
  }

  private async crash(lab: Lab, pods: DemoPods, hosts: readonly PodHost[]): Promise<void> {
    const { report } = this;
    const [host, node] = [hosts[2], lab.nodes[2]];
    if (host === undefined || node === undefined) return;
    report.step(`kill -9 of ${node.name}'s daemon in the middle of a burst of ${CRASH_BURST} pods`);
    const before = pods.all.length;
    const burst = pods.add(host, CRASH_BURST, CRASH_BURST);
    const answered = (): number => pods.all.slice(before).filter(({ addMs }) => addMs > 0).length;
    while (answered() === 0) await sleep(KILL_POLL_MS);
    await node.daemon.kill();
    const waiting = CRASH_BURST - answered();
    report.check('killed while pods of the burst wait', waiting > 0, `${waiting} of ${CRASH_BURST}`);
    report.say('the CNI binary asks again until the next daemon serves');
    node.daemon.start();
    await node.daemon.ready();
    const added = await burst;
    const refused = added.filter((pod) => pod.error !== undefined);
    report.check(
      'every pod of the burst has its address',
      refused.length === 0,
      refused[0]?.error?.msg ?? `${CRASH_BURST} pods`,
    );
    const nodes = lab.nodes.map(({ instance }) => ({ netns: instance.netns, instance: instance.id }));
    const count = await countCrash({ networks: lab.networks, cloud: lab.cloud, nodes }, pods.running);
    for (const detail of count.details.slice(0, 5)) report.say(detail);
    const { details: _, ...figures } = count;
    report.figures.crash = figures;
    const nothing = count.lost + count.doubled + count.leaked === 0;
    report.check(
      'nothing lost, doubled or leaked',
      nothing,
      `lost ${count.lost}, doubled ${count.doubled}, leaked ${count.leaked} of ${pods.running.length} pods`,
    );
  }

  private async teardown(pods: DemoPods, ground: Ground): Promise<void> {
    const { lab, report } = this;
    report.step(`Teardown: ${pods.all.length} pods, the daemons, the VPC`);
    const errors = await pods.remove([...pods.all], PARALLEL);
    report.check('every DEL succeeded', errors.length === 0, errors[0]?.msg ?? 'no error');
    const left = await ground.left();
    for (const { name } of left.slice(0, 5)) report.say(`left: ${name}`);
    for (const echo of this.echoes.splice(0)) await echo.close();
    const { namespaces, files } = await lab.close();
    report.figures.left = { namespaces, ...countOf(left), files };
    const total = Object.values(report.figures.left).reduce((all, count) => all + count, 0);
    report.check(
      'left behind',
      total === 0,
      `${total} (${Object.entries(report.figures.left)
        .map(([what, count]) => `${what} ${count}`)
        .join(', ')})`,
    );
  }

  /** Leaves everything up until somebody ends it. */
  private keep(interrupted: Promise<Interruption>): Promise<Interruption> {
    const { lab, report } = this;
    const [node] = lab.nodes;
    report.step('It stays up. Ctrl-C takes it down. In another terminal:');
    report.say(`npm run underway -- lab status --name ${lab.name}`);
    report.say(`npm run underway -- lab break throttle --name ${lab.name}`);
    report.say(`npm run underway -- lab restart node-1 --name ${lab.name}`);
    report.say(`npm run underway -- lab exec node-1 --name ${lab.name} -- ip rule`);
    if (node === undefined) return interrupted;
    report.say(`npm run underway -- why --socket ${node.folder.socket}`);
    report.say(`curl --unix-socket ${node.folder.socket} http://underway/readyz?verbose`);
    report.say('');
    report.say(`A pod on ${node.name} by hand:`);
    for (const line of callByHand(lab, node)) report.say(line);
    return interrupted;
  }
}

/** Each node takes its ENIs from the subnet it is in, so that pods are in both. */
async function startInOwnSubnets(lab: Lab): Promise<void> {
  for (const { instance, folder, daemon } of lab.nodes) {
    const config: { pool: object } = JSON.parse(readFileSync(folder.config, 'utf8'));
    const subnets = lab.cloud.truth.enisOf(instance.id).map((eni) => eni.subnet);
    writeFileSync(folder.config, JSON.stringify({ ...config, pool: { ...config.pool, subnets } }));
    daemon.start();
  }
  await Promise.all(lab.nodes.map(({ daemon }) => daemon.ready()));
}

function rowOf(lab: Lab, pod: DemoPod): PodRow {
  const address = pod.addresses[0] ?? '';
  const eni = lab.cloud.truth
    .enis()
    .find((candidate) => candidate.blocks.some((block) => block.startsWith(`${address}/`)));
  return { name: pod.name, node: pod.host.name, eni: eni?.id ?? '', address, addMs: pod.addMs };
}

/** `vm-1 saw ::ffff:10.0.16.9` is the IPv4 address of a dual-stack socket. */
const sawSource = (said: string, source: Ip): boolean => said.replace('::ffff:', '').endsWith(` saw ${source}`);

function callText(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string {
  const made = [...after]
    .map(([action, count]) => [action, count - (before.get(action) ?? 0)] as const)
    .filter(([, count]) => count > 0);
  return made.map(([action, count]) => `${action} ${count}`).join(', ');
}
