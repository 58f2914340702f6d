/** What the fixed seeds are drawn to be: every shape of families, prefixes and subnets is among them. */
import type { Family } from '../../../src/core/ip.ts';
import { drawScenario, type Scenario } from '../../../src/sim/scenario.ts';

const SCENARIOS = Array.from({ length: 150 }, (_, n) => drawScenario(n + 1));
const FEW = 3;

const count = (fits: (scenario: Scenario) => boolean): number => SCENARIOS.filter(fits).length;
const isOf =
  (...families: Family[]) =>
  (scenario: Scenario) =>
    scenario.families.join() === families.join();

test.each([
  ['IPv4', isOf(4)],
  ['IPv6', isOf(6)],
  ['both families', isOf(4, 6)],
])('%s, with prefixes and without', (_, isIt) => {
  expect(count((scenario) => isIt(scenario) && scenario.prefixes === 'prefer')).toBeGreaterThanOrEqual(FEW);
  expect(count((scenario) => isIt(scenario) && scenario.prefixes === 'never')).toBeGreaterThanOrEqual(FEW);
});

test('one of several subnets without IPv6, and none with IPv4', () => {
  const lacks = (family: Family) => (scenario: Scenario) =>
    scenario.subnetFamilies.some((families) => !families.includes(family));
  expect(count(lacks(6))).toBeGreaterThanOrEqual(FEW);
  expect(count(lacks(4))).toBeGreaterThanOrEqual(FEW);
  for (const { families, subnetFamilies } of SCENARIOS)
    expect(subnetFamilies.some((had) => families.every((family) => had.includes(family)))).toBe(true);
});
