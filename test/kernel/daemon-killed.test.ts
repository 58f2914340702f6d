/** The daemon is killed on the real kernel, in the middle of what it does, and started again. */
import { once } from 'node:events';
import { addressIn, describeProcess, Machine, until } from './daemon-machine.ts';

describeProcess('the daemon on the real kernel, with EC2 over HTTP', () => {
  let machine: Machine;
  beforeEach(async () => {
    machine = new Machine();
    await machine.endpoints();
  });
  afterEach(() => machine.close());

  test.each([
    'before-commit:4',
    // An assign that may or may not have been done: EC2 has no token, so it is waited for until it must be over.
    'after-commit:4',
    'after-wire:2',
    'before-reply:2',
    'after-unwire:1',
  ])(
    'killed at %s: after the restart every pod has one address, and nothing is left of the others',
    async (failpoint) => {
      const names = ['a', 'b', 'c'];
      const dying = machine.start({ UNDERWAY_FAILPOINT: failpoint });
      const died = once(dying, 'exit');
      for (const name of names) machine.pod(name);
      const quietly = (command: string, name: string) => machine.cni(command, name).catch(() => undefined);
      await Promise.race([machine.ready(), died]);
      for (const name of names) await quietly('ADD', name);
      for (const name of names) await quietly('DEL', name);
      expect(await died).toEqual([null, 'SIGKILL']);

      machine.start();
      await machine.ready();
      const answers = await Promise.all(names.map((name) => machine.cni('ADD', name)));
      expect(answers.map(({ status, text }) => (status === 200 ? 200 : text))).toEqual([200, 200, 200]);
      const given = answers.map(addressIn);
      expect(new Set(given).size).toBe(3);
      await until(() => machine.podRoutes().length === 3);
      expect(machine.podRoutes().map((route) => route.split(' ')[0])).toEqual([...given].sort());
      for (const name of names) expect((await machine.cni('DEL', name)).status).toBe(200);
      expect(machine.podRoutes()).toEqual(['']);
      const { lease } = JSON.parse((await machine.http('GET', '/v1/state')).text);
      expect(lease).toEqual([]);
    },
    30_000,
  );
});
