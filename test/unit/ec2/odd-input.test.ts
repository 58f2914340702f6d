/** Every parameter of every action with values that no client means: an answer with a code, never a failure of the lab. */
import { ACTIONS } from '../../../src/lab/ec2/actions.ts';
import type { Field, Fields } from '../../../src/lab/ec2/fields.ts';
import { onStage, type Parameters } from './stage.ts';
import { textsAt } from './xml-reader.ts';

const ODD = [
  '',
  ' ',
  'x',
  '-1',
  '0',
  '1.5',
  '99999999999999999999',
  'TRUE',
  '::1',
  '1.2.3.4',
  '::/0',
  '0.0.0.0/33',
  '\u0000<&>',
  '😀',
];

/** Names on the wire, lists at their first place. */
const namesOf = (fields: Fields, prefix = ''): string[] =>
  Object.entries(fields).flatMap(([name, field]) => {
    const wire = `${prefix}${name}${field.of === undefined ? '' : '.1'}`;
    const inner: Field<unknown> = field.of ?? field;
    return inner.fields === undefined ? [wire] : namesOf(inner.fields, `${wire}.`);
  });

test(
  'odd values of every parameter are answered with a code',
  onStage(async (stage) => {
    const eni = await stage.createEni();
    const good: Parameters = {
      NetworkInterfaceId: eni,
      SubnetId: stage.subnet,
      InstanceId: stage.node,
      DeviceIndex: 1,
      AttachmentId: 'eni-attach-0ffffffffffffffff',
      RouteTableId: stage.cloud.truth.routeTables()[0]?.id ?? '',
      DestinationCidrBlock: '10.200.0.0/24',
      'ResourceId.1': eni,
      'Tag.1.Key': 'a',
      Attribute: 'description',
    };
    const failed: string[] = [];
    let asked = 0;
    for (const [action, { parameters }] of ACTIONS) {
      const fitting = Object.entries(good).filter(([name]) => (name.split('.')[0] ?? '') in parameters);
      for (const name of namesOf(parameters))
        for (const value of ODD) {
          const { status, root } = await stage.ask(action, { ...Object.fromEntries(fitting), [name]: value });
          asked++;
          if (status >= 500) failed.push(`${action} ${name}=${value}: ${textsAt(root, 'Errors.Error.Message')}`);
          // The bucket is not what is tested here.
          stage.clock.advance(1_000);
        }
    }
    expect(failed).toEqual([]);
    expect(asked).toBeGreaterThan(1_000);
  }),
  60_000,
);
