/** An answer of `GET /v1/why` as plain sentences, a line each. */
import type { Expected, PoolSummary, Refused, SubnetSummary, ToldReason, WhyAnswer } from '../protocol/why.ts';

type Facts<A = WhyAnswer> = A extends unknown ? Omit<A, 'lines'> : never;

export function linesOf(facts: Facts, wallMs: number): readonly string[] {
  switch (facts.status) {
    case 'has-address': {
      const since = `since ${clockTime(wallMs - facts.agoMs)} (${duration(facts.agoMs)})`;
      const read = facts.readAgoMs === undefined ? '' : `; the cloud was last read ${duration(facts.readAgoMs)} ago`;
      const has = `${subject(facts)} has ${placed(facts)} ${since}${read}`;
      return [has, ...(facts.refused === undefined ? [] : refusedLines(facts.refused, wallMs))];
    }
    case 'lost':
      return [
        `${subject(facts)} has ${facts.addresses.join(' and ')}, and has lost ${facts.lost.join(' and ')}`,
        ...reasonLines(facts.reason),
      ];
    case 'waits':
      return waitLines(facts);
    case 'refused':
      return refusedLines(facts.refused, wallMs);
    case 'unknown':
      return unknownLines(facts);
    case 'ambiguous':
      return [`${facts.pods.length} pods here go by ${facts.named}: ask for one of`, ...facts.pods];
    case 'pool':
      return poolLines(facts);
  }
}

/** A pod has one interface, and that is its eth0; what Multus adds is named. */
const subject = ({ who, ifname }: { readonly who: string; readonly ifname: string }): string =>
  ifname === 'eth0' ? who : `${who}’s ${ifname}`;

function unknownLines({ who, nameless }: Extract<Facts, { status: 'unknown' }>): string[] {
  if (nameless > 0)
    return [
      `${who} is not known here by that name; but ${nameless} ${nameless === 1 ? 'pod here has its address and is' : 'pods here have their addresses and are'} known by container id only (a lost journal had the names, or the runtime named none)`,
      'ask by the beginning of its container’s id: `crictl pods` shows it',
    ];
  return [
    `${who} is not known here: it has no address, does not wait for one, and was not refused of late`,
    'is it on this node, on its own network (not hostNetwork), and has the runtime asked for it?',
  ];
}

/** The families mostly share an ENI, which then is named once. */
function placed({ addresses, enis }: Extract<Facts, { status: 'has-address' }>): string {
  if (new Set(enis).size === 1) return `${addresses.join(' and ')} on ${enis[0]}`;
  return addresses.map((ip, at) => `${ip} on ${enis[at]}`).join(' and ');
}

/** What is less late than this comes at any moment. */
const LATE_MS = 1_000;

const duration = (ms: number): string => {
  const whole = Math.max(0, ms);
  if (whole < 10_000) return `${(whole / 1_000).toFixed(1)} s`;
  if (whole < 120_000) return `${Math.round(whole / 1_000)} s`;
  return whole < 7_200_000 ? `${Math.round(whole / 60_000)} min` : `${Math.round(whole / 3_600_000)} h`;
};

const clockTime = (wallMs: number): string => new Date(wallMs).toISOString().replace(/\.\d+Z$/, 'Z');

const reasonLines = ({ code, text }: ToldReason): string[] => [
  `${code}: ${text}`,
  `see docs/errors.md#${code.toLowerCase()}`,
];

const BY: Readonly<Partial<Record<Expected['by'], string>>> = {
  assign: 'by assign (an address on an ENI that is there)',
  create: 'by create (a new ENI, its attach and its link)',
  attach: 'by attach (of an ENI that is made, and its link)',
  link: 'by the link of an ENI that is attached',
  kernel: 'by the kernel, which is being told of it',
  cooldown: 'by the end of a cooldown',
  listEnis: 'by listEnis (reads that tell whether an earlier call was done)',
};

function expectedLine(expected: Expected | undefined): string {
  if (expected === undefined) return 'no address is expected before a pod here ends';
  const { inMs, by, lateMs = 0 } = expected;
  const what = BY[by] ?? `by ${by}`;
  if (lateMs >= LATE_MS) return `the next address was expected ${duration(lateMs)} ago, ${what}`;
  return `the next address is expected ${inMs === 0 ? 'at any moment' : `in ${duration(inMs)}`}, ${what}`;
}

function waitLines(facts: Extract<Facts, { status: 'waits' }>): string[] {
  const { position, waiting, forMs, deadlineInMs, reason, expected } = facts;
  const place = position === undefined ? '' : `, ${ordinal(position)} of ${waiting} in the queue`;
  const first = `${subject(facts)} has waited ${duration(forMs)} for an address${place}; it is answered in ${duration(deadlineInMs)} at the latest`;
  return [first, ...reasonLines(reason), ...(position === undefined ? [] : [expectedLine(expected)])];
}

function ordinal(n: number): string {
  const isTeen = n % 100 >= 11 && n % 100 <= 13;
  const ending = isTeen ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${ending}`;
}

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);

function refusedLines(refused: Refused, wallMs: number): string[] {
  const { by, agoMs, count } = refused;
  const who = subject(refused);
  const when = `${duration(agoMs)} ago (${clockTime(wallMs - agoMs)})`;
  const told: Readonly<Record<Refused['by'], string>> = {
    ADD: `${who} was refused ${times(count)}, last ${when}; the runtime tries again`,
    CHECK: `CHECK refused ${who} ${times(count)}, last ${when}`,
    removal: `${who} lost its link ${when}`,
  };
  return [told[by], ...reasonLines(refused)];
}

const BEFELL: Readonly<Record<Refused['by'], string>> = {
  ADD: 'refused',
  CHECK: 'refused by CHECK',
  removal: 'link removed',
};

function poolLines(facts: Extract<Facts, { status: 'pool' }>): string[] {
  const { serving, reason, pools, subnets, underWay, refused } = facts;
  const lines = serving ? [] : ['not serving', ...(reason ? reasonLines(reason) : [])];
  for (const pool of pools) lines.push(...summaryLines(pool));
  for (const subnet of subnets) lines.push(subnetLine(subnet));
  lines.push(`under way: ${underWay.length === 0 ? 'no cloud call' : underWay.join(', ')}`);
  for (const one of refused) {
    const { by, code, agoMs, count } = one;
    lines.push(`${BEFELL[by]}: ${subject(one)} ${times(count)}, last ${duration(agoMs)} ago: ${code}`);
  }
  return lines;
}

const PRESSURE: Readonly<Record<SubnetSummary['pressure'], string>> = {
  normal: '',
  tight: '; tight: what is idle beyond headroom is given back soon',
  exhausted: '; exhausted: half of the headroom is given back too',
};

function subnetLine({ id, free, size, pressure, fragmentation, unlisted }: SubnetSummary): string {
  if (unlisted) return `subnet ${id}: the cloud does not list it; correct pool.subnets`;
  const count = free === undefined ? 'not counted yet' : `${free} of ${size} addresses free`;
  const broken =
    fragmentation === undefined ? '' : `, ${Math.round(fragmentation * 100)} % of them where no whole prefix is`;
  return `subnet ${id}: ${count}${broken}${PRESSURE[pressure]}`;
}

/** Counted as pods count: each takes one address of every family. A line a family, unless they are all alike. */
function heldLines(families: PoolSummary['addresses'], eniCount: number): string[] {
  const heldIn = (each: string, { total, leased, free, cooling, quarantined, coming }: (typeof families)[number]) => {
    const odd = quarantined > 0 ? `, ${quarantined} quarantined` : '';
    const held = `${total} ${total === 1 ? 'address' : 'addresses'}${each} on ${eniCount} ${eniCount === 1 ? 'ENI' : 'ENIs'}`;
    return `${held}: ${leased} in use, ${free} free, ${cooling} cooling${odd}; ${coming} coming`;
  };
  const [alike, ...others] = new Set(
    families.map((held) => heldIn(families.length > 1 ? ' of each family' : '', held)),
  );
  return alike !== undefined && others.length === 0
    ? [alike]
    : families.map((held) => `IPv${held.family}: ${heldIn('', held)}`);
}

/** As many as a line holds are named. */
const LOST_SHOWN = 5;

function lostLine(pods: readonly string[]): string {
  const more = pods.length > LOST_SHOWN ? ` and ${pods.length - LOST_SHOWN} more` : '';
  const named = `${pods.slice(0, LOST_SHOWN).join(', ')}${more}`;
  return pods.length === 1
    ? `1 pod has lost an address: ${named}`
    : `${pods.length} pods have lost an address: ${named}`;
}

function summaryLines(pool: PoolSummary): string[] {
  const { id, addresses, eniCount, lost, waiting, reason, expected, headroom, targets } = pool;
  const lines = heldLines(addresses, eniCount).map((line) => `pool ${id}: ${line}`);
  if (lost !== undefined) lines.push(lostLine(lost.pods), ...reasonLines(lost.reason));
  if (targets === undefined)
    lines.push('targets: what they come to is not known before the cloud said what this instance is');
  else lines.push(`targets ${targets.accepted ? '' : 'cannot be met: '}${targets.sentence}`);
  if (headroom !== undefined) lines.push(`headroom auto: ${headroom.sentence}`);
  for (const warning of targets?.warnings ?? []) lines.push(`warning: ${warning}`);
  if (waiting === 0) return lines;
  lines.push(`${waiting} ${waiting === 1 ? 'pod waits' : 'pods wait'}`);
  return [...lines, ...(reason ? reasonLines(reason) : []), expectedLine(expected)];
}
