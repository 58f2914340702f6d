/** A worker thread of the day: takes a task, measures its nodes one after the other, answers with what they came to. */
import { parentPort } from 'node:worker_threads';
import { aws } from '../peers/aws.ts';
import { cilium } from '../peers/cilium.ts';
import { terway } from '../peers/terway.ts';
import { DAY_MS, dayTrace } from '../trace.ts';
import type { DayPart, DaySetting, DayTask } from './day-fleet.ts';
import { type Measured, measure, SPREAD } from './measure.ts';
import type { Policy } from './policy.ts';
import { underway } from './underway.ts';

/** 8 ENIs of 29 addresses: room for every node of the fleet. */
const INSTANCE_TYPE = 'm5.4xlarge';
/** Long enough for the slowest static policy to be warm before the day begins. */
const SETTLE_MS = 600_000;

parentPort?.on('message', (task: DayTask) => {
  partOf(task).then(
    (part) => parentPort?.postMessage(part),
    (error) => {
      throw error;
    },
  );
});

async function partOf({ seed, setting, from, to, limits }: DayTask): Promise<DayPart> {
  const runs: Measured[] = [];
  const sum = (value: (run: Measured) => number): number => runs.reduce((total, run) => total + value(run), 0);
  for (const { name, pods } of dayTrace(seed).slice(from, to)) {
    const nodes = [{ name, instanceType: INSTANCE_TYPE, pods }];
    const policy = policyOf(setting);
    const left = limits && {
      ...limits,
      lateCountMax: limits.lateCountMax - sum(({ lateCount }) => lateCount),
      idleIpHoursMax: limits.idleIpHoursMax - sum(({ idleIpHours }) => idleIpHours),
    };
    const run = { seed, policy, nodes, lengthMs: DAY_MS, spread: SPREAD, settleMs: SETTLE_MS };
    runs.push(await measure(left === undefined ? run : { ...run, limits: left }));
    if (runs.at(-1)?.gaveUp !== undefined) break;
  }
  return {
    gaveUp: runs.at(-1)?.gaveUp,
    lateCount: sum(({ lateCount }) => lateCount),
    waitsMs: runs.flatMap(({ waits }) => waits.map(({ waitMs }) => waitMs)),
    failed: sum(({ failed }) => failed),
    cloudCalls: sum(({ calls }) => calls.length),
    idleIpHours: sum(({ idleIpHours }) => idleIpHours),
  };
}

function policyOf(setting: DaySetting): Policy {
  switch (setting.policy) {
    case 'underway':
      return underway({ targets: setting.targets });
    case 'aws':
      return aws(setting.settings);
    case 'cilium':
      return cilium(setting.settings);
    case 'terway':
      return terway(setting.settings);
  }
}
