import { fileURLToPath } from 'node:url';

const common = {
  rootDir: fileURLToPath(new URL('..', import.meta.url)),
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/strip-types.mjs' },
};
// Pure tiers need nothing; kernel and lab tiers make network namespaces and run in band (test/run.ts).
const tier = (displayName, ...folders) => ({
  ...common,
  displayName,
  testMatch: folders.map((folder) => `<rootDir>/test/${folder}/**/*.test.ts`),
});
const privileged = (name) => ({ ...tier(name, name), globalSetup: '<rootDir>/test/privileged-setup.ts' });

export default {
  projects: [
    { ...common, displayName: 'tidy', testMatch: ['<rootDir>/test/tidy.test.ts'] },
    tier('unit', 'unit', 'contract'),
    tier('sim', 'sim'),
    privileged('kernel'),
    privileged('lab'),
    tier('runtime', 'runtime'),
  ],
};
